"""One version folder: its digests, its contract, and the proof that it answers as it did when it was trained."""

import hashlib
import re
from pathlib import Path

from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.contract import Contract
from serving.errors import ContractError
from serving.features.program import compile_program
from serving.features.rows import RowSchema
from serving.repository.golden import check_golden
from serving.repository.served import ServedModel
from serving.store.reader import RecordReader

DIGESTS = "SHA256SUMS"


def artifact_digest(folder: Path) -> str:
    """SHA-256 of the version's list of digests. Raises ContractError when there is none."""
    try:
        return hashlib.sha256((folder / DIGESTS).read_bytes()).hexdigest()
    except OSError as error:
        raise ContractError(f"{DIGESTS}: {error.strerror}") from error


def appearance(folder: Path) -> str:
    """A cheap hash over what the files of a version look like: it changes as soon as one of them is written."""
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*"), folder.parent / "config.pbtxt"]):
        try:
            seen = path.stat()
        except OSError:  # gone while we look
            continue
        digest.update(f"{path.name}\0{seen.st_ino} {seen.st_size} {seen.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def load_version(folder: Path, threads: int) -> ServedModel:
    """Read, verify and warm the version in `folder` (`.../<model>/<number>`). Raises ContractError with the reason."""
    digest = artifact_digest(folder)
    check_digests(folder)
    contract = Contract.load(folder / "contract.json")
    if contract.model != folder.parent.name:
        raise ContractError(f"contract.json is for {contract.model!r}, the folder is {folder.parent.name!r}")
    backend = OnnxRuntimeBackend((folder / "model.onnx").read_bytes(), threads)
    shapes = {name: shape[1:] for name, shape in backend.inputs.items()}
    if shapes != {tensor.name: tensor.shape for tensor in contract.tensors}:
        raise ContractError(f"model.onnx: the graph takes {shapes}, not what contract.json says")
    program, schema, reader = compile_program(contract), RowSchema(contract), RecordReader(contract)
    served = ServedModel(folder.parent.name, int(folder.name), digest, contract, schema, program, reader, backend)
    check_golden(served, folder / "golden.npz")
    return served


def check_digests(folder: Path) -> None:
    """Raises ContractError naming the first file that is missing, changed, or listed by nobody."""
    listed = {}
    try:
        lines = (folder / DIGESTS).read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise ContractError(f"{DIGESTS}: {error.strerror}") from error
    for line in lines:
        match = re.fullmatch(r"([0-9a-f]{64})  (\.\./config\.pbtxt|[\w][\w./-]*)", line)
        if not match or ".." in match[2].removeprefix("../"):
            raise ContractError(f"{DIGESTS}: cannot read the line {line[:80]!r}")
        listed[match[2]] = match[1]
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {DIGESTS}
    for name in sorted(present - listed.keys()):
        raise ContractError(f"{name}: not listed in {DIGESTS}")
    for name in ("../config.pbtxt", "contract.json", "golden.npz", "model.onnx"):
        if name not in listed:
            raise ContractError(f"{name}: not listed in {DIGESTS}")
    for name, expected in listed.items():
        try:
            actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise ContractError(f"{name}: {error.strerror}") from error
        if actual != expected:
            raise ContractError(f"{name}: its SHA-256 is {actual[:12]}..., {DIGESTS} says {expected[:12]}...")
