"""Histories in every form become the same months: the present one last, missing ones at the front."""

import numpy as np
import pytest

from serving.errors import InvalidInput
from serving.features.rows import MonthlyCells, RowSchema
from tests.support import histories

pytestmark = pytest.mark.unit

SCHEMA = RowSchema(histories.contract())
NAN = float("nan")
OVERTIME = [[1.0, 2.0, 3.0], [4.0], []]
SICK = [[0.0, NAN, 2.0], [5.0], []]
EXPECTED = np.full((3, 2, histories.MONTHS), NAN)
EXPECTED[0, :, -3:] = [[1, 2, 3], [0, NAN, 2]]
EXPECTED[1, :, -1] = [4, 5]


def padded(rows: list[list[float]], months: int) -> np.ndarray:
    """Rows as a tensor: what is given at the front, then anything."""
    made = np.full((len(rows), months), 77.0)
    for number, row in enumerate(rows):
        made[number, : len(row)] = row
    return made


LENGTHS = np.array([3, 1, 0])
TENSOR = np.stack([padded(OVERTIME, 4), padded(SICK, 4)], axis=2)
FORMS = {
    "one tensor and lengths": {"histories": TENSOR, "lengths": LENGTHS},
    "lengths as [n, 1], float32": {"histories": TENSOR.astype(np.float32), "lengths": LENGTHS.reshape(-1, 1)},
    "by name and lengths": {"overtime": padded(OVERTIME, 3), "sick_days": padded(SICK, 5), "lengths": LENGTHS},
    "by name, each its own lengths": {
        "overtime": MonthlyCells(padded(OVERTIME, 3), LENGTHS),
        "sick_days": MonthlyCells(padded(SICK, 7), LENGTHS),
    },
    "by name, left-padded by the caller": {"overtime": EXPECTED[:, 0, -4:], "sick_days": EXPECTED[:, 1]},
    "lists by name, shorter where a row is shorter": {"overtime": OVERTIME, "sick_days": SICK},
    "lists by name, null for nothing": {"overtime": [*OVERTIME[:2], None], "sick_days": [[0, None, 2], [5], None]},
    "lists of months": {"histories": [[[1, 0], [2, None], [3, 2]], [[4, 5]], []]},
    "more months than the model reads": {
        "histories": np.concatenate([np.full((3, 20, 2), 9.0), EXPECTED.transpose(0, 2, 1)], axis=1)
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_months(form: str) -> None:
    rows = SCHEMA.assemble(FORMS[form], 10)
    assert np.array_equal(rows.history, EXPECTED, equal_nan=True)
    assert rows.history.flags.c_contiguous
    assert np.isnan(rows.values).all()


@pytest.mark.parametrize(
    ("columns", "field", "sentence"),
    [
        (
            {"histories": np.zeros((2, 3))},
            "histories",
            "got shape [2, 3], expected [n, months, 2] with overtime, sick_days",
        ),
        ({"histories": np.zeros((2, 3, 3))}, "histories", "got shape [2, 3, 3], expected [n, months, 2]"),
        ({"histories": np.zeros((2, 37, 2))}, "histories", "got 37 months, expected at most 36"),
        ({"histories": [[[1]]]}, "histories", "got no list of months with 2 values in row 0"),
        ({"histories": [7]}, "histories", "got no list of months with 2 values in row 0"),
        ({"overtime": np.zeros(2)}, "overtime", "got shape [2], expected [n, months]: it is a history"),
        ({"overtime": [1.0]}, "overtime", "got no list in row 0, expected a list of up to 36 months"),
        ({"overtime": [[1.0] * 37]}, "overtime", "got 37 months in row 0"),
        ({"overtime": [["1"]]}, "overtime", "got the text '1' in row 0, expected a number, of row 0"),
        ({"hours": MonthlyCells(np.zeros((1, 2)), np.array([2]))}, "hours", "got a history, expected one value a row"),
        (
            {"histories": np.zeros((1, 2, 2)), "lengths": np.array([3])},
            "histories",
            "got a length of 3, expected 0 to 2",
        ),
        ({"histories": np.zeros((1, 2, 2)), "lengths": np.array([-1])}, "histories", "got a length of -1"),
        ({"histories": np.zeros((1, 2, 2)), "lengths": np.array([0.5])}, "lengths", "expected 1 whole numbers"),
        ({"histories": np.zeros((1, 2, 2)), "lengths": np.array([NAN])}, "lengths", "expected 1 whole numbers"),
        ({"histories": np.zeros((1, 2, 2)), "lengths": np.array([1, 1])}, "lengths", "got 2 rows, expected 1"),
        ({"histories": np.zeros((1, 2, 2)), "overtime": np.zeros((1, 2))}, "overtime", "histories holds already"),
        ({"lengths": np.array([1])}, "lengths", "got lengths of nothing"),
        (
            {"overtime": np.zeros((1, 2)), "lengths": MonthlyCells(np.zeros((1, 2)), np.array([2]))},
            "lengths",
            "got a history, expected one whole number a row",
        ),
        (
            {"overtime": MonthlyCells(np.zeros((1, 2)), np.array([2])), "lengths": np.array([1])},
            "lengths",
            "got lengths beside a history that has its own",
        ),
        ({"mask": np.array([1])}, "mask", "got an unknown column"),
    ],
)
def test_what_is_no_history_is_refused(columns: dict, field: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        SCHEMA.assemble(columns, 10)
    assert sentence in refusal.value.message
    assert refusal.value.field == field


def test_a_wrong_month_is_named() -> None:
    rows = SCHEMA.assemble({"overtime": [[1, 301]]}, 10)
    with pytest.raises(InvalidInput, match=r"overtime: got 301 in row 0, month 11 of 12, expected 0 to 300 h"):
        SCHEMA.refuse_wrong(rows, SCHEMA.inspect(rows))


def test_coverage_counts_the_months_that_are_given() -> None:
    rows = SCHEMA.assemble({"overtime": [[1] * 12, [1] * 3, [90, None]], "hours": [40, 40, 40]}, 10)
    found = SCHEMA.inspect(rows)
    assert found.coverage == pytest.approx([(4 + 1) / 10, (1 + 1) / 10, (4 / 12 + 1) / 10])
    outside, missing = 4, 1
    assert found.marks[:, 1].tolist() == [0, 0, outside]
    assert found.marks[:, 5].tolist() == [missing] * 3


def test_texts_and_dates_have_forms_too() -> None:
    rows = SCHEMA.assemble({"hired": ["1970-01-02", b"1969-12-31", 3, None], "role": ["42", 42, 42.0, b"42"]}, 10)
    assert rows.values[:, 3][:3].tolist() == [1, -1, 3]
    assert np.isnan(rows.values[3, 3])
    assert len(set(rows.values[:, 2].tolist())) == 1
    for wrong in ("20200101", "2020-13-01", "2020-W01-1", "yesterday", True):
        with pytest.raises(InvalidInput, match="expected a date as in 2026-03-31"):
            SCHEMA.assemble({"hired": [wrong]}, 10)
    with pytest.raises(InvalidInput, match="expected a text, or a whole number"):
        SCHEMA.assemble({"role": [0.5]}, 10)
