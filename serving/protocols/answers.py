"""A prediction as named tensors, the same for every protocol that speaks in tensors."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from serving.contract import HISTORIES, LENGTHS, ClassOutput, Contract, HistoryInput, NumberInput
from serving.errors import InvalidInput, one_of
from serving.pipeline import Prediction
from serving.repository.served import ServedModel

MOST_DIMENSIONS = 8
MOST_ELEMENTS = 1 << 40

Answer = NDArray[Any] | list[bytes]
"""Numbers [n, ...], or n texts in UTF-8."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as metadata describes it: kind is "float32", "float64", "int32" or "text"; shape without n."""

    name: str
    kind: str
    shape: tuple[int, ...] = ()


def column_specs(contract: Contract) -> list[TensorSpec]:
    """The raw columns a caller may send; histories as one tensor, in the contract's order, and how long they are.

    Each history stands under its name as well, to be sent instead of the one tensor.
    """
    single = [raw for raw in contract.inputs if not isinstance(raw, HistoryInput)]
    specs = [TensorSpec(raw.name, "float64" if isinstance(raw, NumberInput) else "text") for raw in single]
    if histories := [raw for raw in contract.inputs if isinstance(raw, HistoryInput)]:
        specs += [TensorSpec(HISTORIES, "float64", (contract.months, len(histories))), TensorSpec(LENGTHS, "int32")]
        specs += [TensorSpec(raw.name, "float64", (contract.months,)) for raw in histories]
    return specs


def graph_specs(contract: Contract) -> list[TensorSpec]:
    """The graph's own inputs."""
    return [TensorSpec(tensor.name, "float32", tensor.shape) for tensor in contract.tensors]


def answer_specs(contract: Contract, ready: bool = False) -> list[TensorSpec]:
    """What comes back; `ready`: to a call that sent the graph's own inputs."""
    specs = [TensorSpec(name, kind, shape) for name, (kind, shape) in contract.graph_outputs().items()]
    decision = contract.decision
    if isinstance(decision, ClassOutput):
        specs.append(TensorSpec(decision.name, "text"))
    if decision is not None:
        specs.append(TensorSpec("margin", "float32"))
    return specs if ready else [*specs, TensorSpec("coverage", "float32"), TensorSpec("warnings", "text")]


def answers(prediction: Prediction) -> dict[str, Answer]:
    """All outputs by name, in the order of `answer_specs`."""
    served = prediction.served
    out: dict[str, Answer] = {name: prediction.tensors[name] for name in served.graph_outputs}
    if isinstance(served.decision, ClassOutput):
        names = served.class_names
        out[served.decision.name] = [names[index] for index in prediction.tensors[served.decision.label].tolist()]
    if prediction.margin is not None:
        out["margin"] = prediction.margin
    if prediction.coverage is not None:
        out["coverage"] = prediction.coverage
        out["warnings"] = row_warnings(prediction)
    return out


def row_warnings(prediction: Prediction) -> list[bytes]:
    """For each row its warnings, as in `low_coverage,unknown_category:department`; empty when there are none."""
    if not prediction.warnings:
        return [b""] * prediction.rows
    texts: list[list[str]] = [[] for _ in range(prediction.rows)]
    for warning in prediction.warnings:
        text = f"{warning.code}:{warning.column}" if warning.column else str(warning.code)
        for row in warning.rows.tolist():
            texts[row].append(text)
    return [",".join(text).encode() for text in texts]


def select(available: Mapping[str, Answer], wanted: Iterable[str]) -> dict[str, Answer]:
    """The outputs a caller asked for by name, all when it named none. Raises InvalidInput for an unknown one."""
    chosen = {}
    for name in wanted:
        if name not in available:
            raise InvalidInput.cell(name, "an unknown output", one_of(available))
        chosen[name] = available[name]
    return chosen or dict(available)


def check_rows(name: str, rows: int, max_rows: int) -> None:
    """Refuse too many rows before anything is made of them. Raises InvalidInput."""
    if rows > max_rows:
        raise InvalidInput.cell(name, f"{rows} rows", f"at most {max_rows} in one call")


def as_column(name: str, tensor: NDArray[Any], served: ServedModel) -> NDArray[Any]:
    """A tensor by name: graph inputs and histories stay as they are, another raw column must be [n] or [n, 1]."""
    if tensor.ndim == 1 or name in served.graph_inputs or served.schema.histories.takes(name):
        return tensor
    if tensor.ndim == 2 and tensor.shape[1] == 1:
        return tensor.reshape(-1)
    raise InvalidInput.cell(name, f"shape {list(tensor.shape)}", "[n] or [n, 1]")


def as_list(name: str, cells: list[Any], shape: list[int], count: int) -> list[Any]:
    """Listed cells as a column: as many as its shape says, [n] or [n, 1]. Raises InvalidInput."""
    if len(cells) != count:
        raise InvalidInput.cell(name, f"{len(cells)} values for shape {shape}", f"{count}")
    if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        raise InvalidInput.cell(name, f"shape {shape}", "[n] or [n, 1]")
    return cells


def elements(shape: list[int], name: str) -> int:
    """How many elements a shape has. Raises InvalidInput for a negative or absurd size, no dimension or too many."""
    if len(shape) == 1 and shape[0] >= 0:
        return shape[0]
    if not shape:
        raise InvalidInput.cell(name, "shape []", "at least one dimension, the rows")
    if (
        len(shape) > MOST_DIMENSIONS
        or any(size < 0 for size in shape)
        or math.prod(size or 1 for size in shape)
        > MOST_ELEMENTS  # NumPy cannot shape even nothing into [0, 2**62, 2**62]
    ):
        raise InvalidInput.cell(name, f"shape {str(shape[:10])[:100]}", f"up to {MOST_DIMENSIONS} sizes of 0 or more")
    return math.prod(shape)
