"""A model repository of many models: copies of one published version under other names."""

import json
import re
import shutil
from pathlib import Path

from exporters.publishing import digests
from loadtest.published import MODEL, newest_version

CONFIG = "config.pbtxt"


def names(count: int) -> tuple[str, ...]:
    """The published model's own name, and that with a number for every further copy."""
    return (MODEL, *(f"{MODEL}_{number}" for number in range(2, count + 1)))


def make_copies(model_repo: Path, into: Path, count: int, instances: int = 1) -> tuple[str, ...]:
    """Fill the folder `into` with `count` models, each the newest version of the published one; their names.

    instances: of each model in Triton, by its config.pbtxt. Name, configuration and digests are each copy's own.
    """
    source = newest_version(model_repo / MODEL)
    config = (model_repo / MODEL / CONFIG).read_text("utf-8")
    contract = json.loads((source / "contract.json").read_text("utf-8"))
    for name in names(count):
        version = into / name / source.name
        shutil.copytree(source, version)
        (into / name / CONFIG).write_text(_configured(config, name, instances), "utf-8")
        (version / "contract.json").write_text(json.dumps(contract | {"model": name}), "utf-8")
        (version / digests.NAME).write_text(digests.render(digests.files_of(version)), "utf-8")
    return names(count)


def _configured(config: str, name: str, instances: int) -> str:
    """config.pbtxt with another name, and another number of instances where it is not 1."""
    config = re.sub(r'^name: ".*"$', f'name: "{name}"', config, flags=re.MULTILINE)
    return config if instances == 1 else re.sub(r"count: \d+", f"count: {instances}", config)
