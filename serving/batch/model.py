"""The version that answers: read, verified and proven as the gateway does it."""

import logging
from pathlib import Path

from serving.errors import ContractError, EpmError, NotFound
from serving.repository.making import DEFAULT, IN_PROCESS, Making
from serving.repository.repository import versions_in
from serving.repository.served import ServedModel
from serving.repository.versions import load_version
from serving.settings import Settings

log = logging.getLogger("epm.batch")


def load(root: Path, model: str, version: int | None, backends: tuple[str, ...], settings: Settings) -> ServedModel:
    """The version asked for, or the newest one that is as it was published, as in a gateway.

    backends: their names in order, none for what the settings say. Raises NotFound, ContractError.
    """
    making = Making(
        order=lambda name: backends or _in_process(settings, name),
        threads=settings.intra_op_num_threads,
        device=settings.device,
    )
    folder = root / model
    there = sorted(versions_in(folder), reverse=True) if folder.is_dir() else []
    if not there:
        known = ", ".join(sorted(path.name for path in root.glob("*") if path.is_dir())) or "none"
        raise NotFound(f"no model {model!r} in {root}; models there: {known}")
    if version is not None:
        if version not in there:
            raise NotFound(f"{model}: no version {version}; versions there: {', '.join(map(str, sorted(there)))}")
        return load_version(folder / str(version), making)
    refused = []
    for number in there:
        try:
            return load_version(folder / str(number), making)
        except EpmError as error:
            log.warning("%s version %d is refused: %s", model, number, error.message)
            refused.append(f"version {number}: {error.message}")
    raise ContractError(f"{model}: no version can be used: {'; '.join(refused)}")


def _in_process(settings: Settings, model: str) -> tuple[str, ...]:
    """What the gateway would ask in its own process."""
    return tuple(name for name in settings.chosen("backends", model) if name in IN_PROCESS) or DEFAULT
