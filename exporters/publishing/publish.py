"""Put a finished version into a repository: written beside its place, renamed into it: nobody sees half of one."""

import ctypes
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from exporters.errors import PublishError
from exporters.formats import triton_config
from exporters.publishing import digests
from serving.contract import Contract

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def check_name(model: str) -> None:
    """Raises PublishError unless `model` can be the name of a folder, a metric label and a Triton model."""
    if not _NAME.fullmatch(model):
        raise PublishError(
            f"model name: got {model!r}, expected a small letter, then small letters, digits and underscores"
        )


def versions(repository: Path, model: str) -> list[int]:
    """Version numbers that lie in the repository, smallest first."""
    folder = repository / model
    if not folder.is_dir():
        return []
    return sorted(
        int(path.name) for path in folder.iterdir() if path.is_dir() and re.fullmatch(r"[1-9][0-9]*", path.name)
    )


def place(
    repository: Path, model: str, configs: Mapping[str, str], version: int | None = None, *, replace: bool = False
) -> int:
    """The version number to publish under: the next free one, or `version`.

    configs: texts of Triton's files for the model, by path in its folder. Raises PublishError when that version is
    there and is not to be replaced, and when the other versions of the model were published with other configs, which
    are one for all of them.
    """
    check_name(model)
    there = versions(repository, model)
    number = there[-1] + 1 if version is None and there else version or 1
    if number < 1:
        raise PublishError(f"version: got {number}, expected 1 or more")
    if number in there and not replace:
        raise PublishError(f"{model} version {number} is already there: choose another --version, or say --replace")
    others = [other for other in there if other != number]
    for name, config in configs.items():
        path = repository / model / name
        if others and path.is_file() and path.read_text("utf-8") != config:
            raise PublishError(
                f"{path}: this version needs another {name} (its inputs or outputs have other shapes) than version "
                f"{others[-1]}, whose digests cover it. Publish under another model name, or remove older versions."
            )
    return number


def configs_for(repository: Path, contract: Contract, version: int | None = None) -> dict[str, str]:
    """Triton's files for a new version of the model, or for `version`, by path in the model's folder.

    A config.pbtxt as it was formerly written stays where the digests of other versions cover it.
    """
    made, former = triton_config.render(contract), triton_config.former(contract)
    config = repository / contract.model / triton_config.CPU
    others = set(versions(repository, contract.model)) - {version}
    if others and config.is_file() and config.read_text("utf-8") == former:
        return made | {triton_config.CPU: former}
    return made


def publish(
    repository: Path,
    model: str,
    files: dict[str, bytes],
    configs: Mapping[str, str],
    version: int | None = None,
    *,
    replace: bool = False,
) -> Path:
    """Publish `files` (path relative to the version -> bytes) and return the version's folder.

    Raises PublishError; then nothing changed.
    """
    number = place(repository, model, configs, version, replace=replace)
    home = repository / model
    home.mkdir(parents=True, exist_ok=True)
    sums = digests.render({**files, **{f"../{name}": config.encode() for name, config in configs.items()}})
    beside = Path(
        tempfile.mkdtemp(prefix=f".{number}.", dir=home)
    )  # neither Triton nor TF Serving takes it for a version
    try:
        for name, content in {**files, digests.NAME: sums.encode()}.items():
            _write(beside / name, content)
        beside.chmod(0o755)  # mkdtemp lets nobody else read
        for name, config in configs.items():
            _write(beside / "config", config.encode())
            (home / name).parent.mkdir(exist_ok=True)
            os.replace(beside / "config", home / name)
        _rename(beside, home / str(number), replace=replace)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return home / str(number)


def _rename(beside: Path, into: Path, *, replace: bool) -> None:
    """A folder cannot be renamed over a full one: with `replace` the two change places, and the old one is removed."""
    if replace and into.is_dir():
        _exchange(beside, into)
        shutil.rmtree(beside)
        return
    try:
        beside.rename(into)
    except OSError as error:
        raise PublishError(f"{into}: somebody published this version at the same time ({error.strerror})") from error


def _exchange(one: Path, other: Path) -> None:
    """Two folders change places in one step, renameat2(2) with RENAME_EXCHANGE: at no moment is a place empty.

    Where the file system cannot, in three steps.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE) == 0:
        return
    aside = one.with_name(one.name + ".old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
