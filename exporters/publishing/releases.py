"""One training run from its data to the folder of the published version."""

from pathlib import Path

from exporters.formats import triton_config
from exporters.models import training
from exporters.progress import say
from exporters.publishing import publish
from exporters.quality import card
from exporters.sources import Source


def release(source: Source, seed: int, trees: int = 0, version: int | None = None, *, replace: bool = False) -> Path:
    """Train, export, check and publish. Raises DataError, ParityError or PublishError; then nothing is published."""
    publish.check_name(source.model)
    made = training.make(source.model, source.dataset, seed, trees)
    config = triton_config.render(made.contract)
    publish.place(source.repository, source.model, config, version, replace=replace)  # refuse before the long part
    exported = training.export(made, seed)
    text = card.render(made, source.dataset, exported.agreements, source.section())
    files = {**exported.files, "card.md": text.encode()}
    folder = publish.publish(source.repository, source.model, files, config, version, replace=replace)
    say(f"{sum(map(len, files.values())) // 1024} KiB published")
    return folder
