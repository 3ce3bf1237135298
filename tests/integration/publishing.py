"""Versions put into a watched repository as an exporter does it: written beside, then renamed into place."""

import hashlib
import json
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.gateways import Running
from tests.support.models import write_version


def publish(root: Path, model: str, version: int, seed: int, spoil: Callable[[Path], None] | None = None) -> None:
    """Put a version into `root`, in place of one of the same number; `spoil` breaks it before anybody sees it."""
    root.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as beside:
        made = write_version(Path(beside), model, version, seed=seed)
        if spoil is not None:
            spoil(made)
        home = root / model
        home.mkdir(exist_ok=True)
        if not (home / "config.pbtxt").exists():
            os.replace(made.parent / "config.pbtxt", home / "config.pbtxt")
        if (home / str(version)).exists():
            (home / str(version)).rename(Path(beside) / "old")
        made.rename(home / str(version))


def reseal(folder: Path) -> None:
    """Write the digests of a spoiled version anew, so that only its meaning is wrong."""
    names = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    sums = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(sums))


def get(at: Running, path: str, body: Any = None) -> tuple[int, Any]:
    """HTTP status and JSON; POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://{at.http}{path}", data), timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def answer(at: Running, model: str, version: str = "") -> tuple[int, list[float]] | None:
    """Version and probabilities that answer, None when the model is not served."""
    tensor = {"name": "hours", "shape": [1], "datatype": "FP64", "data": [40]}
    status, made = get(at, f"/v2/models/{model}{version}/infer", {"inputs": [tensor]})
    if status == 404:
        return None
    assert status == 200, made
    return int(made["model_version"]), made["outputs"][0]["data"]


def states(at: Running, model: str) -> dict[int, tuple[str, str]]:
    """GetModelStatus: state and error message by version; {} when the model is not there."""
    status, made = get(at, f"/v1/models/{model}")
    if status == 404:
        return {}
    entries = made["model_version_status"]
    return {int(entry["version"]): (entry["state"], entry["status"]["error_message"]) for entry in entries}
