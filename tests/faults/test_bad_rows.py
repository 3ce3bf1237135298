"""Rows that cannot be answered get INVALID_ARGUMENT with the name of the column, in every protocol."""

import numpy as np
import pytest

from tests.faults.conftest import MAX_ROWS
from tests.faults.protocols import Ask, Rest, ask

pytestmark = pytest.mark.faults

INF, NAN = float("inf"), float("nan")
FEATURES = [[0.0] * 8, [1.0] * 8]

BAD = {
    "an unknown column": (ask(hours=[40], nobody=[77.4375]), "nobody"),
    "only an unknown column": (ask(nobody=["canary"]), "nobody"),
    "a text for a number": (ask(hours=[40], overtime=["canary"]), "overtime"),
    "a text that looks like a number": (ask(hours=["40"]), "hours"),
    "infinity": (ask(hours=[40, INF]), "hours"),
    "minus infinity": (ask(hours=[40], overtime=[-INF]), "overtime"),
    "below what is physical": (ask(hours=[-77.4375]), "hours"),
    "above what is physical": (ask(hours=[40, 177.4375]), "hours"),
    "the largest double": (ask(hours=[np.finfo(np.float64).max]), "hours"),
    "no required column": (ask(overtime=[77.4375]), "hours"),
    "a required cell missing": (ask(hours=[40, NAN]), "hours"),
    "no rows": (ask(hours=[]), "hours"),
    "more rows than the limit": (ask(hours=[40] * (MAX_ROWS + 1)), "hours"),
    "raw mixed with ready": (ask(features=FEATURES, hours=[40, 40]), "hours"),
    "ready features of another width": (ask(features=[[77.4375] * 7]), "features"),
    "a missing ready feature": (ask(features=[[NAN] * 8]), "features"),
    "an infinite ready feature": (ask(features=[[INF] * 8]), "features"),
    "a ready feature beyond float32": (Ask([("features", np.array([[77.4375e300] * 8]))]), "features"),
    "no ready rows": (ask(features=np.zeros((0, 8))), "features"),
    "more ready rows than the limit": (ask(features=np.zeros((MAX_ROWS + 1, 8))), "features"),
    "three-dimensional ready features": (ask(features=np.zeros((1, 1, 8))), "features"),
    "a column with two values a row": (Ask([("hours", np.ones((2, 2), np.float32))]), "hours"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_rows_are_invalid_and_the_column_is_named(what, protocol):
    question, column = BAD[what]
    if what == "a ready feature beyond float32" and not isinstance(protocol, Rest):
        pytest.skip("only JSON says a feature in more than 32 bits here; test_hostile_bytes sends DT_DOUBLE")
    outcome = protocol.ask(question)
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", column), outcome
    assert outcome.message.startswith(f"{column}: got ")
    assert ", expected " in outcome.message


@pytest.mark.parametrize("other", [{"overtime": [77.4375]}, {"department": ["canary"] * 3}])
def test_columns_of_different_lengths_are_invalid_and_one_of_them_is_named(other, protocol):
    outcome = protocol.ask(ask(hours=[40, 41], **other))
    assert outcome.status == "INVALID_ARGUMENT"
    assert outcome.field in {"hours", *other}, "TF Serving's inputs are a map, without an order"


def test_no_inputs_at_all_are_invalid(protocol):
    assert protocol.ask(Ask([])).status == "INVALID_ARGUMENT"


def test_the_row_that_is_wrong_is_named(protocol):
    outcome = protocol.ask(ask(hours=[40, 41, -77.4375, 42]))
    assert "row 2" in outcome.message


def test_as_many_rows_as_the_limit_are_answered(protocol):
    assert len(protocol.ask(ask(hours=[40] * MAX_ROWS)).grades) == MAX_ROWS


def test_values_at_the_physical_bounds_are_answered(protocol):
    assert len(protocol.ask(ask(hours=[0, 168], overtime=[0, 300])).grades) == 2


def test_an_unknown_category_is_answered(protocol):
    assert len(protocol.ask(ask(hours=[40], department=["canary"])).grades) == 1


def test_a_name_without_end_is_cut_in_the_refusal(protocol):
    name = "n" * 5000
    outcome = protocol.ask(Ask([("hours", np.array([40.0])), (name, np.array([1.0]))]))
    assert outcome.status == "INVALID_ARGUMENT"
    assert outcome.field == "n" * 100
    assert len(outcome.message) < 1000


@pytest.mark.parametrize(
    "name", ["空列", "a\nb", 'quo"te', "tab\t", "%0a", pytest.param("\U0001f600" * 60, id="faces"), "nul\0l"]
)
def test_a_strange_name_comes_back_as_it_was(name, protocol):
    outcome = protocol.ask(Ask([(name, np.array([1.0]))]))
    assert outcome.status == "INVALID_ARGUMENT"
    assert outcome.message.startswith(f"{name}: got an unknown column")


@pytest.mark.parametrize("protocol", ["kserve", "epm", "rest_kserve"], indirect=True)
@pytest.mark.parametrize("name", ["hours", "nobody"])
def test_the_same_input_twice_is_invalid(name, protocol):
    outcome = protocol.ask(Ask([(name, np.array([40.0])), (name, np.array([77.4375]))]))
    assert outcome.status == "INVALID_ARGUMENT"
    assert outcome.field == name
