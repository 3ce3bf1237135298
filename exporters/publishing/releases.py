"""One training run from its data to the folder of the published version."""

from pathlib import Path

from exporters.cards import card
from exporters.formats import parity
from exporters.progress import say
from exporters.publishing import export, publish
from exporters.sources import Source


def release(source: Source, seed: int, version: int | None = None, *, replace: bool = False) -> Path:
    """Train, export, check and publish. Raises DataError, ParityError or PublishError; then nothing is published."""
    publish.check_name(source.model)
    made = source.make(source.model, source.dataset, seed)
    configs = publish.configs_for(source.repository, made.contract, version)
    publish.place(source.repository, source.model, configs, version, replace=replace)  # refuse before the long part
    exported = export.export(made, seed)
    say("writing the card")
    written = card.render(made, source.dataset, exported.agreements, source.section())
    files = {**exported.files, "parity.json": parity.report(exported.agreements), **written.files()}
    folder = publish.publish(source.repository, source.model, files, configs, version, replace=replace)
    say(f"{sum(map(len, files.values())) // 1024} KiB published")
    return folder
