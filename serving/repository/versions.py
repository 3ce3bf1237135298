"""One version folder: its digests, its contract, and the proof that it answers as it did when it was trained."""

import hashlib
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from serving.backends.backend import InProcess, Tensors, rows_of
from serving.contract import Contract
from serving.errors import BackendFailed, ContractError
from serving.features.program import compile_program
from serving.features.rows import RowSchema
from serving.repository.golden import Golden
from serving.repository.making import Making
from serving.repository.served import ServedModel
from serving.store.reader import RecordReader

log = logging.getLogger("epm.repository")

DIGESTS = "SHA256SUMS"
CONFIG, GPU_CONFIG = "../config.pbtxt", "../configs/gpu.pbtxt"
"""Triton's files for all versions of a model; the second has not been there from the first day, and may be missing."""


def artifact_digest(folder: Path) -> str:
    """SHA-256 of the version's list of digests. Raises ContractError when there is none."""
    try:
        return hashlib.sha256((folder / DIGESTS).read_bytes()).hexdigest()
    except OSError as error:
        raise ContractError(f"{DIGESTS}: {error.strerror}") from error


def appearance(folder: Path) -> str:
    """A cheap hash over what the files of a version look like: it changes as soon as one of them is written."""
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*"), folder / CONFIG, folder / GPU_CONFIG]):
        try:
            seen = path.stat()
        except OSError:  # gone while we look
            continue
        digest.update(f"{path.name}\0{seen.st_ino} {seen.st_size} {seen.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def load_version(folder: Path, making: Making | None = None) -> ServedModel:
    """Read, verify and warm the version in `folder` (`.../<model>/<number>`).

    Raises ContractError with the reason; BackendFailed when all its backends are servers and none has proven itself,
    which may be otherwise later.
    """
    making = making or Making()
    digest = artifact_digest(folder)
    check_digests(folder)
    contract = Contract.load(folder / "contract.json")
    if contract.model != folder.parent.name:
        raise ContractError(f"contract.json is for {contract.model!r}, the folder is {folder.parent.name!r}")
    program, schema, reader = compile_program(contract), RowSchema(contract), RecordReader(contract)
    name, version, model = folder.parent.name, int(folder.name), (folder / "model.onnx").read_bytes()
    served = ServedModel(name, version, digest, contract, schema, program, reader)
    golden = Golden(served, folder / "golden.npz")
    made = making.in_process(contract, model)
    try:
        _check_backends(contract, golden, made)
    except ContractError as error:
        if making.device != "auto" or all(backend.device == "cpu" for backend in made.values()):
            raise
        log.warning("model %s version %d computes on the cpu, for on cuda: %s", name, version, error.message)
        made = replace(making, device="cpu").in_process(contract, model)
        _check_backends(contract, golden, made)
    proof = golden.proof()
    backends = making.ordered(contract, version, made, proof)
    shadow = making.shadowing(contract, version, model, proof)
    cost = _cost(next(iter(made.values())), golden.tensors) if made else served.cost
    return replace(served, backends=tuple(backends), shadow=shadow, cost=cost)


def _cost(backend: InProcess, tensors: Tensors) -> tuple[float, float]:
    """Seconds of every call, and of a row: from calls of one row and of all golden rows, the quickest of three."""
    one, n = {name: values[:1] for name, values in tensors.items()}, rows_of(tensors)
    first, all_rows = _quickest(backend, one), _quickest(backend, tensors)
    row = max(0.0, all_rows - first) / max(1, n - 1)
    return max(0.0, first - row), row


def _quickest(backend: InProcess, tensors: Tensors) -> float:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        backend.run(tensors)
        took.append(time.perf_counter() - began)
    return min(took)


def _check_backends(contract: Contract, golden: Golden, made: Mapping[str, InProcess]) -> None:
    """Each of them takes what the contract says, and answers the golden rows rightly. Raises ContractError."""
    for backend in made.values():
        _check_inputs(contract, backend.inputs)
        try:
            golden.check(backend.run(golden.tensors))
        except (ContractError, BackendFailed) as error:
            raise ContractError(f"{backend.name}: {error.message}") from error


def _check_inputs(contract: Contract, inputs: Mapping[str, tuple[Any, ...]]) -> None:
    shapes = {name: shape[1:] for name, shape in inputs.items()}
    if shapes != {tensor.name: tensor.shape for tensor in contract.tensors}:
        raise ContractError(f"model.onnx: the graph takes {shapes}, not what contract.json says")


def check_digests(folder: Path) -> None:
    """Raises ContractError naming the first file that is missing, changed, or listed by nobody."""
    listed = {}
    try:
        lines = (folder / DIGESTS).read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise ContractError(f"{DIGESTS}: {error.strerror}") from error
    for line in lines:
        match = re.fullmatch(r"([0-9a-f]{64})  (\.\./config\.pbtxt|\.\./configs/gpu\.pbtxt|[\w][\w./-]*)", line)
        if not match or ".." in match[2].removeprefix("../"):
            raise ContractError(f"{DIGESTS}: cannot read the line {line[:80]!r}")
        listed[match[2]] = match[1]
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {DIGESTS}
    for name in sorted(present - listed.keys()):
        raise ContractError(f"{name}: not listed in {DIGESTS}")
    for name in (CONFIG, "contract.json", "golden.npz", "model.onnx"):
        if name not in listed:
            raise ContractError(f"{name}: not listed in {DIGESTS}")
    for name, expected in listed.items():
        try:
            actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise ContractError(f"{name}: {error.strerror}") from error
        if actual != expected:
            raise ContractError(f"{name}: its SHA-256 is {actual[:12]}..., {DIGESTS} says {expected[:12]}...")
