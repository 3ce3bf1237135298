"""JSON <-> columns and answers, shared by both REST families."""

import json
from typing import Any

import numpy as np

from serving.contract import LENGTHS
from serving.errors import InvalidInput
from serving.features.cells import Cells, numbers
from serving.protocols.answers import Answer, as_list, check_rows, elements
from serving.repository.served import ServedModel


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object; NaN is allowed, as TF Serving allows it. Raises InvalidInput."""
    try:
        value = json.loads(body or b"{}", object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise InvalidInput(
            f"the body: got {len(body)} bytes that are no JSON ({reason}), expected a JSON object"
        ) from None
    if not isinstance(value, dict):
        raise InvalidInput(f"the body: got a {type(value).__name__}, expected a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no name stands twice: the last one would win in silence."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return made


def cells(served: ServedModel, name: str, values: Any, max_rows: int, shape: list[int] | None = None) -> Cells:
    """The values of one input: a raw column as a list of n cells, a graph input as an array. Raises InvalidInput.

    Histories without a shape stay nested lists. shape: what the caller declares; None when the nesting tells.
    """
    if not isinstance(values, list):
        raise InvalidInput.cell(name, f"a {type(values).__name__}", "a list of values, one a row")
    monthly = served.schema.histories.takes(name) and name != LENGTHS
    if shape is None or not (monthly or name in served.graph_inputs):  # flat data has more values than rows
        check_rows(name, len(values), max_rows)
    if name in served.graph_inputs:
        return _ready(name, values, shape)
    if monthly:
        return values if shape is None else _monthly(name, values, shape)
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]
    if shape is not None:
        return as_list(name, values, shape, elements(shape, name))
    return values


def _monthly(name: str, values: list[Any], shape: list[int]) -> Cells:
    """Values of histories, flat or nested, in the shape that is declared; null is a missing month."""
    for _ in shape:
        if any(isinstance(value, list) for value in values):
            values = [inner for value in values for inner in (value if isinstance(value, list) else [value])]
    if len(values) != elements(shape, name):
        raise InvalidInput.cell(name, f"{len(values)} values for shape {shape}", f"{elements(shape, name)}")
    return np.array(numbers(name, values), np.float64).reshape(shape)


def as_json(answer: Answer) -> list[Any]:
    """An answer as nested lists. A float32 becomes the double that equals it, so that it comes back bit for bit."""
    return [text.decode() for text in answer] if isinstance(answer, list) else answer.tolist()


def dump(value: Any) -> bytes:
    """Compact JSON in UTF-8; halves of surrogate pairs, which a caller can write in JSON, become question marks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _ready(name: str, values: list[Any], shape: list[int] | None) -> Cells:
    try:
        tensor = np.array(values)
        if tensor.dtype.kind == "O":  # None among the numbers; texts and ragged rows fail below
            tensor = np.array(values, np.float64)
        if tensor.dtype.kind not in "fiub":
            raise TypeError
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput.cell(name, "values that are no rectangular array of numbers", "numbers only") from None
    if shape is not None:
        if elements(shape, name) != tensor.size:
            raise InvalidInput.cell(name, f"{tensor.size} values for shape {shape[:10]}", f"{elements(shape, name)}")
        tensor = tensor.reshape(shape)
    return tensor.astype(np.float32)
