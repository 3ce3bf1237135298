"""Predictions by id in the protocols that speak in tensors: the ids are one of the tensors, `entity_id`.

These protocols have no errors of single rows: a call that has no answer for some row fails as a whole.
"""

from collections.abc import Awaitable, Mapping
from typing import Any

import numpy as np

from serving.errors import EpmError, InvalidInput, Status
from serving.features.rows import Cells
from serving.pipeline import Entities, Pipeline, Prediction
from serving.protocols.method import Call
from serving.repository.served import ServedModel

ENTITY_ID, PRESENT_MONTH = "entity_id", "present_month"
RESERVED = (ENTITY_ID, PRESENT_MONTH)
"""Tensors that are no columns, unless the contract or the graph has an input of the name: then they are that input."""


def offered(served: ServedModel) -> bool:
    """Whether a tensor `entity_id` brings ids to this model."""
    return not _is_input(served, ENTITY_ID)


def asked(served: ServedModel, inputs: Mapping[str, object]) -> bool:
    """Whether a call asks by id."""
    return ENTITY_ID in inputs and offered(served)


def require(served: ServedModel, inputs: Mapping[str, object]) -> None:
    """Raise InvalidInput unless a call, whose signature says that it asks by id, does."""
    if not offered(served):
        raise InvalidInput.cell("signature_name", "'by_id'", f"another one: {ENTITY_ID} is an input of this model")
    if ENTITY_ID not in inputs:
        raise InvalidInput.cell(ENTITY_ID, "nothing", "ids, which signature by_id takes")


def left_out(name: str, row: int) -> InvalidInput:
    """The refusal of rows by id of which only some bring a column: it would replace what is stored of the others."""
    expected = "an id in every row" if name == ENTITY_ID else "a value beside every id, or beside none"
    return InvalidInput.cell(name, f"nothing in row {row}", expected)


def predict(pipeline: Pipeline, served: ServedModel, inputs: Mapping[str, Cells], call: Call) -> Awaitable[Prediction]:
    """Answer a batch of named tensors. A call by id raises the error of its first row that has no answer."""
    if ENTITY_ID not in inputs or not offered(served):
        return pipeline.predict(served, inputs, call.deadline, None, call.priority, call.watch)
    return _predict(pipeline, served, dict(inputs), call)


def month(field: str, number: int) -> int | None:
    """Months since January 1970 of a month as in 202610; None for 0. Raises InvalidInput."""
    if number and not (1970 <= number // 100 <= 2999 and 1 <= number % 100 <= 12):
        raise InvalidInput.cell(field, f"{number}", "year and month, as in 202610")
    return (number // 100 - 1970) * 12 + number % 100 - 1 if number else None


async def _predict(pipeline: Pipeline, served: ServedModel, inputs: dict[str, Cells], call: Call) -> Prediction:
    ids, present = _ids(inputs.pop(ENTITY_ID)), None
    if PRESENT_MONTH in inputs and not _is_input(served, PRESENT_MONTH):
        present = _present(inputs.pop(PRESENT_MONTH))
    entities = Entities(served.contract.entity_type, ids, present, ENTITY_ID)
    prediction = await pipeline.predict(served, inputs, call.deadline, entities, call.priority, call.watch)
    if prediction.errors:
        raise _first_error(prediction)
    return prediction


def _is_input(served: ServedModel, name: str) -> bool:
    return served.schema.takes(name) or name in served.graph_inputs


def _ids(cells: Cells) -> list[str]:
    """Ids as texts. Raises InvalidInput, which tells the row and never what stands there."""
    if not isinstance(cells, list):
        raise InvalidInput.cell(ENTITY_ID, "numbers", "texts")
    if not cells:
        raise InvalidInput.cell(ENTITY_ID, "0 rows", "at least 1")
    return [_id(row, cell) for row, cell in enumerate(cells)]


def _id(row: int, cell: Any) -> str:
    if not isinstance(cell, str | bytes):
        came = "nothing" if cell is None else f"a {type(cell).__name__}"
        raise InvalidInput.cell(ENTITY_ID, f"{came} in row {row}", "a text")
    if not cell:
        raise InvalidInput.cell(ENTITY_ID, f"an empty text in row {row}", "an id")
    try:
        return (cell if isinstance(cell, bytes) else cell.encode()).decode()  # JSON can hold halves of surrogate pairs
    except UnicodeError:
        raise InvalidInput.cell(ENTITY_ID, f"what is not UTF-8 in row {row}", "a text in UTF-8") from None


def _present(cells: Cells) -> int | None:
    """The present month of all rows, which rows of their own repeat. Raises InvalidInput."""
    values = cells if isinstance(cells, list) else np.asarray(cells).tolist()
    if not values or any(type(value) is not int or value != values[0] for value in values):
        came, expected = f"{len(values)} values", "one whole number as in 202610, or the same one in every row"
        raise InvalidInput.cell(PRESENT_MONTH, came, expected)
    return month(PRESENT_MONTH, values[0])


def _first_error(prediction: Prediction) -> EpmError:
    """Why the first row without an answer has none."""
    first = min(prediction.errors, key=lambda failed: failed.rows[0])
    error = first.error
    if error.status == Status.INVALID_ARGUMENT:  # of a value that the caller sent: names its row already
        return error
    return type(error)(f"row {first.rows[0]}: {error.message}", field=error.field)
