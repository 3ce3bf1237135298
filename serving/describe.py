"""`epm models`: what is in a model repository, and what an application may send to a model."""

import json
import sys
from pathlib import Path

import numpy as np

from serving import table
from serving.contract import (
    CategoryInput,
    Contract,
    DateInput,
    HistoryInput,
    NumberInput,
    Output,
    ProbabilityOutput,
    RawInput,
    TextInput,
)
from serving.errors import EpmError, NotFound
from serving.repository.repository import versions_in
from serving.repository.versions import check_digests


def newest(root: Path, model: str) -> tuple[int, Contract]:
    """Number and contract of the newest version on disk that is as it was published. Raises NotFound."""
    folder = root / model
    for version in sorted(versions_in(folder), reverse=True) if folder.is_dir() else ():
        try:
            check_digests(folder / str(version))
            return version, Contract.load(folder / str(version) / "contract.json")
        except EpmError as error:
            print(f"{model} version {version}: {error.message}", file=sys.stderr)
    known = ", ".join(sorted(p.name for p in root.glob("*") if p.is_dir())) or "none"
    raise NotFound(f"no model {model!r} in {root}; models there: {known}")


def listing(root: Path, model: str | None = None) -> str:
    """A table of all versions, of all models or of one. Raises NotFound when there is no such folder."""
    if not root.is_dir():
        raise NotFound(f"{root}: no such folder")
    rows = []
    for folder in sorted(path for path in root.glob(model or "*") if path.is_dir()):
        for version in (folder / str(number) for number in sorted(versions_in(folder))):
            try:
                check_digests(version)
                contract = Contract.load(version / "contract.json")
                outputs = ", ".join(output.name for output in contract.outputs)
                rows.append([folder.name, version.name, contract.entity_type, str(len(contract.inputs)), outputs, "ok"])
            except EpmError as error:
                rows.append([folder.name, version.name, "", "", "", error.message])
    if model and not rows:
        raise NotFound(f"no model {model!r} in {root}")
    header = ["model", "version", "of a", "inputs", "outputs", "files"]
    return "\n".join(table.lines(header, rows, [False, True, False, True, False, False]))


def describe(root: Path, model: str) -> str:
    """Everything an application may send to a model and what comes back, with an example."""
    version, contract = newest(root, model)
    rows = []
    for raw in contract.inputs:
        kind, expected = _takes(raw, contract.months)
        share = raw.weight / sum(other.weight for other in contract.inputs)
        need = "required" if raw.required else "may be missing"
        rows.append([raw.name, kind, expected, need, f"{share:.1%}", f"{raw.title.en} {raw.title.zh}"])
    header = ["column", "type", "values", "", "weight", "meaning"]
    columns = table.lines(header, rows, [False, False, False, False, True, False])
    ready = ", ".join(f"{tensor.name} float32[n, {', '.join(map(str, tensor.shape))}]" for tensor in contract.tensors)
    values = [", ".join(names) for names in (contract.program.features, contract.program.window) if names]
    outputs = [
        f"  {output.name} ({_gives(output)}): {output.title.en} {output.title.zh}" for output in contract.outputs
    ]
    left_out = [f"  {left.name}: {left.reason}" for left in contract.left_out]
    example = {"inputs": {raw.name: [_example(raw)] for raw in contract.inputs}}
    return "\n".join(
        [
            f"{model} version {version}: {contract.title.en} {contract.title.zh}",
            f"one row is one {contract.entity_type}",
            "",
            *columns,
            "",
            f"Below a coverage of {contract.min_coverage:.0%} (weights of what came) an answer is marked low_coverage.",
            "Missing is: a column left out, NaN, null, an empty text.",
            "",
            f"Instead of columns, ids of each {contract.entity_type}, where the gateway has an online store: entity_id",
            f"Or the graph's own inputs: {ready}: {'; of each month '.join(values)}",
            "",
            "Answers:",
            *outputs,
            "",
            "Deliberately no inputs:",
            *(left_out or ["  none"]),
            "",
            "Example (REST; the same names over gRPC):",
            f"  curl -s http://localhost:8501/v1/models/{model}:predict -d '{json.dumps(example, ensure_ascii=False)}'",
        ]
    )


def _takes(raw: RawInput, months: int) -> tuple[str, str]:
    """Type and values of an input, in words."""
    if isinstance(raw, CategoryInput):
        return "text", " | ".join(raw.categories)
    if isinstance(raw, TextInput):
        return "text", "any"
    if isinstance(raw, DateInput):
        return "date", "as in 2026-03-31"
    low = "" if raw.low is None else f"{raw.low:g}"
    high = "" if raw.high is None else f"{raw.high:g}"
    values = f"{low}..{high} {raw.unit}"
    return ("number", values) if isinstance(raw, NumberInput) else ("history", f"{months} months of {values}")


def _gives(output: Output) -> str:
    """Type of an output, and what it is made of."""
    names = getattr(output, "classes", getattr(output, "names", getattr(output, "items", ())))
    made_of = f": {' | '.join(names)}" if names else ""
    if isinstance(output, ProbabilityOutput) and output.threshold is not None:
        made_of = f": {output.label} is 1 from {np.float32(output.threshold)!s} on, else 0"
    return f"{type(output).__struct_config__.tag}{made_of}"


def _example(raw: RawInput) -> object:
    if isinstance(raw, CategoryInput):
        return raw.categories[0]
    if isinstance(raw, TextInput):
        return "R-17"
    low, high = raw.seen or (raw.low or 0.0, raw.high or 1.0)
    middle = round((low + high) / 2, 2)
    if isinstance(raw, DateInput):
        return str(np.datetime64(int(middle), "D"))
    return [middle, middle] if isinstance(raw, HistoryInput) else middle
