"""Named columns become raw rows, or a sentence that says which column, what came and what was expected."""

import numpy as np
import pytest

from serving.errors import InvalidInput
from serving.features.rows import Inspection, RowSchema
from tests.support.models import DEPARTMENTS, INPUTS, contract

pytestmark = pytest.mark.unit

SCHEMA = RowSchema(contract("small"))
NAN = float("nan")


def check(schema: RowSchema, columns: dict) -> Inspection:
    rows = schema.assemble(columns, 10)
    inspection = schema.inspect(rows)
    schema.refuse_wrong(rows, inspection)
    return inspection


def test_columns_are_put_in_the_contracts_order_and_left_out_ones_are_missing() -> None:
    raw = SCHEMA.assemble({"department": ["研发", b"sales"], "hours": np.array([40, 41], np.int8)}, 10)
    assert np.array_equal(raw.values, [[40, NAN, NAN, 1], [41, NAN, NAN, 0]], equal_nan=True)
    assert raw.history.shape == (2, 0, 0)


@pytest.mark.parametrize("missing", [None, "", b"", NAN])
def test_every_form_of_missing_is_the_same(missing: object) -> None:
    for column in ("quality", "department"):
        raw = SCHEMA.assemble({"hours": [40.0], column: [missing]}, 10)
        assert np.array_equal(raw.values, SCHEMA.assemble({"hours": (40.0,)}, 10).values, equal_nan=True)


@pytest.mark.parametrize("cells", [(1.0,), [1], np.array([1], np.uint8), np.array([True]), np.array([1], np.float16)])
def test_numbers_of_any_type_are_equal(cells: object) -> None:
    assert SCHEMA.assemble({"hours": cells}, 10).values[0, 0] == 1


@pytest.mark.parametrize(("cell", "code"), [("sales", 0), (2, 2), ("elsewhere", 3), (3, 3), (-1, 3), (0.5, 3), (99, 3)])
def test_categories_come_as_names_or_codes_and_what_is_neither_is_unknown(cell: object, code: int) -> None:
    assert SCHEMA.assemble({"hours": [40], "department": [cell]}, 10).values[0, 3] == code
    if not isinstance(cell, str):
        assert SCHEMA.assemble({"hours": (40, 40), "department": (cell, cell)}, 10).values[1, 3] == code


@pytest.mark.parametrize(
    ("columns", "field", "sentence"),
    [
        ({}, "", "no inputs"),
        ({"hours": []}, "hours", "got 0 rows, expected at least 1"),
        ({"hours": [1] * 11}, "hours", "got 11 rows, expected at most 10 in one call"),
        ({"pay": [1]}, "pay", "got an unknown column, expected one of hours, overtime, quality, department"),
        ({"hours": [1], "quality": [1, 2]}, "quality", "got 2 rows, expected 1, as in the other columns"),
        ({"hours": ["forty"]}, "hours", "got the text 'forty' in row 0, expected a number"),
        ({"hours": [1, b"40"]}, "hours", "got the text '40' in row 1, expected a number"),
        ({"hours": [True]}, "hours", "got a bool in row 0, expected a number"),
        ({"hours": [[1]]}, "hours", "got a list in row 0, expected a number"),
        ({"department": [{}]}, "department", "got a dict in row 0, expected a text"),
        ({"hours": [float("inf")]}, "hours", "got a number that is not finite in row 0, expected a finite number"),
        ({"hours": [10**400]}, "hours", "got a number that is not finite in row 0, expected a finite number"),
    ],
)
def test_what_cannot_be_a_row_is_refused_with_a_sentence(columns: dict, field: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        SCHEMA.assemble(columns, 10)
    assert sentence in refusal.value.message
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"hours": (40, -1)}, "hours: got -1 in row 1, expected 0 to 168 h/week"),
        ({"hours": (169,)}, "hours: got 169 in row 0, expected 0 to 168 h/week"),
        ({"hours": (40,), "quality": (np.inf,)}, "quality: got inf in row 0, expected a finite number"),
        ({"quality": (3,)}, "hours: got no value in row 0, expected a value: this column is required"),
    ],
)
def test_values_that_cannot_be_are_refused(columns: dict, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check(SCHEMA, columns)
    assert refusal.value.message == sentence


def test_coverage_is_the_weighted_share_of_what_was_given() -> None:
    raw = SCHEMA.assemble({"hours": (40, 40, 40), "quality": (3, np.nan, 3), "department": ["sales", "", "?"]}, 10)
    total = sum(column.weight for column in INPUTS)
    assert SCHEMA.inspect(raw).coverage == pytest.approx([6 / total, 1 / total, 6 / total])


def test_missing_unknown_and_out_of_range_are_told_apart() -> None:
    columns = {"hours": (40, 5, 100), "quality": (3, np.nan, 3), "department": ["sales", "mars", ""]}
    found = check(SCHEMA, columns)
    missing, unknown, outside = 1, 2, 4
    assert found.marks.tolist() == [
        [0, missing, 0, 0],
        [outside, missing, missing, unknown],
        [outside, missing, 0, missing],
    ]
    assert found.marked == 8
    assert found.count().tolist() == [[0, 3, 1, 1], [0, 0, 0, 1], [2, 0, 0, 0], [0, 0, 0, 0]]


def test_all_known_categories_have_codes_of_their_own() -> None:
    raw = SCHEMA.assemble({"hours": (40,) * 3, "department": list(DEPARTMENTS)}, 10)
    assert raw.values[:, 3].tolist() == [0, 1, 2]
