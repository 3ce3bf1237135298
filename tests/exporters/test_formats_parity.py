"""The gate: which differences of an export are agreed to, which are refused, and what the refusal tells."""

from dataclasses import replace

import numpy as np
import pytest

from exporters.errors import ParityError
from exporters.formats import onnx_graph, parity
from exporters.formats.parity import Answers
from tests.exporters import random_models as models

pytestmark = pytest.mark.unit

GRADES = models.contract_of(("tenure", "pay"))
LEAVES = models.attrition_contract()
X = {"features": np.zeros((2, 2), np.float32)}
STATIC_AND_MONTHS = {"features": np.zeros((2, 5), np.float32), "history": np.zeros((2, 12, 3), np.float32)}


def grades(probabilities: list[list[float]], label: list[int], name: str = "export") -> Answers:
    return Answers(name, {"probabilities": np.array(probabilities, np.float32), "label": np.array(label, np.int32)})


def leaves(later: list[float], label: list[int], name: str = "export") -> Answers:
    probability = np.array(later, np.float32)
    return Answers(
        name,
        {"probability_3m": probability / 2, "probability_6m": probability, "label": np.array(label, np.int32)},
    )


TRAINED_GRADES = grades([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0]], [0, 0], "trained model")
TRAINED_LEAVES = leaves([0.3, 0.4], [1, 1], "trained model")


def test_a_label_of_classes_may_differ_only_where_the_two_best_tie():
    tie = grades([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0]], [1, 0])
    (agreement,) = parity.check_answers(GRADES, TRAINED_GRADES, [tie], X)
    assert (agreement.rows, agreement.ties, agreement.difference) == (2, 1, 0.0)
    wrong = grades([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0]], [0, 1])
    with pytest.raises(ParityError, match=r"1 of 2 rows differ.*\n  row 1: "):
        parity.check_answers(GRADES, TRAINED_GRADES, [wrong], X)


def test_a_label_of_a_threshold_may_differ_only_where_the_probability_is_at_it():
    at_the_threshold = leaves([0.3 - 1e-6, 0.4], [0, 1])
    (agreement,) = parity.check_answers(LEAVES, TRAINED_LEAVES, [at_the_threshold], STATIC_AND_MONTHS)
    assert agreement.ties == 1
    assert 0 < agreement.difference < 2e-6
    elsewhere = leaves([0.3, 0.4], [1, 0])
    with pytest.raises(
        ParityError, match=r"1 of 2 rows differ.*\n  row 1: trained model \[0.2000000 0.4000000\] label 1"
    ):
        parity.check_answers(LEAVES, TRAINED_LEAVES, [elsewhere], STATIC_AND_MONTHS)


@pytest.mark.parametrize("tensor", ["probability_3m", "probability_6m"])
def test_every_number_of_every_output_is_held_to_the_tolerance(tensor):
    outputs = dict(leaves([0.3, 0.4], [1, 1]).outputs)
    outputs[tensor] = outputs[tensor] + np.array([0, 2e-5], np.float32)
    with pytest.raises(ParityError, match=r"1 of 2 rows differ.*\n  row 1: "):
        parity.check_answers(LEAVES, TRAINED_LEAVES, [Answers("export", outputs)], STATIC_AND_MONTHS)
    parity.check_answers(LEAVES, TRAINED_LEAVES, [Answers("export", outputs)], STATIC_AND_MONTHS, tolerance=3e-5)


def test_an_answer_that_is_not_a_number_is_no_agreement():
    broken = grades([[np.nan, 0.5, 0.0], [0.6, 0.4, 0.0]], [0, 0])
    with pytest.raises(ParityError, match="row 0"):
        parity.check_answers(GRADES, TRAINED_GRADES, [broken], X)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (Answers("export", {"label": np.zeros(2, np.int32)}), r"export: output probabilities: got none, expected"),
        (grades([[0.5, 0.5]] * 2, [0, 0]), r"got float32\[2, 2\], expected float32\[2, 3\]"),
        (grades([[0.5, 0.5, 0]], [0]), r"got float32\[1, 3\], expected float32\[2, 3\]"),
        (
            Answers("export", {**TRAINED_GRADES.outputs, "label": np.zeros(2, np.int64)}),
            r"output label: got int64\[2\], expected int32\[2\]",
        ),
    ],
)
def test_tensors_that_the_contract_does_not_promise_are_refused(answers, message):
    with pytest.raises(ParityError, match=message):
        parity.check_answers(GRADES, TRAINED_GRADES, [answers], X)


def test_a_label_that_the_contracts_own_rule_does_not_give_is_refused():
    unlike = grades([[0.1, 0.9, 0.0], [0.6, 0.4, 0.0]], [0, 0], "golden rows")
    with pytest.raises(
        ParityError, match=r"golden rows: 1 of 2 .* another label .* likeliest class gives, first row 0"
    ):
        parity.check_answers(GRADES, unlike, [], X)
    below = leaves([0.4, 0.2999], [1, 1], "golden rows")
    with pytest.raises(ParityError, match=r"golden rows: 1 of 2 .* another label .* threshold 0.3 gives, first row 1"):
        parity.check_answers(LEAVES, below, [], STATIC_AND_MONTHS)


def test_nor_may_the_trained_model_itself_answer_so():
    doubles = {**TRAINED_GRADES.outputs, "probabilities": np.full((2, 3), 1 / 3)}
    with pytest.raises(ParityError, match=r"trained model: output probabilities: got float64\[2, 3\]"):
        parity.check_answers(GRADES, Answers("trained model", doubles), [], X)


def test_the_refusal_names_what_is_unusual_in_the_worst_rows_and_no_value_of_them():
    model = models.blend()
    random = np.random.default_rng(0)
    inputs = {
        "features": random.normal(size=(50, 5)).astype(np.float32),
        "history": random.normal(size=(50, 12, 3)).astype(np.float32),
    }
    inputs["history"][7, 4, 1] = 1234.5
    trained = Answers("trained model", models.Known(model).answers(inputs))
    outputs = {name: values.copy() for name, values in trained.outputs.items()}
    outputs["probability_6m"][7] += 0.1
    outputs["probability_6m"][8] += 0.01
    with pytest.raises(ParityError) as refusal:
        parity.check_answers(LEAVES, trained, [Answers("export", outputs)], inputs)
    first, worst, second = refusal.value.message.splitlines()
    assert first == "export: 2 of 50 rows differ from the trained model, numbers by up to 1.0e-01; the worst:"
    assert worst.startswith("  row 7: ")
    assert second.startswith("  row 8: ")
    assert "monthly_kudos:filled of month 4" in worst
    assert "1234.5" not in refusal.value.message


def test_a_missing_feature_is_named():
    inputs = {"features": np.array([[np.nan, 0], [1, 0]], np.float32)}
    with pytest.raises(ParityError, match=r"row 0: .*missing features: tenure; at an extreme: none"):
        parity.check_answers(GRADES, TRAINED_GRADES, [grades([[0.4, 0.6, 0], [0.6, 0.4, 0]], [1, 0])], inputs)


def test_features_that_differ_from_numpy_are_named_with_their_row():
    other = {name: values.copy() for name, values in STATIC_AND_MONTHS.items()}
    parity.check_features(STATIC_AND_MONTHS, other, LEAVES)
    other["features"][1, 0] = 1e-7
    other["history"][1, 11, 2] = np.nan
    expected = r"1 of 2 rows differ.*\n  row 1: tenure:scaled by 1e-07, mask of month 11 by nan$"
    with pytest.raises(ParityError, match=expected):
        parity.check_features(STATIC_AND_MONTHS, other, LEAVES)


def test_one_leaf_changed_by_a_thousandth_is_caught():
    model = models.grader()
    inputs = {"features": np.random.default_rng(1).normal(size=(500, 5)).astype(np.float32)}
    trained = Answers("trained model", models.Known(model).answers(inputs))
    at = 0
    while model.forest.feature[at] >= 0:  # where the first row ends in the first tree
        passes = inputs["features"][0, model.forest.feature[at]] < model.forest.threshold[at]
        at = model.forest.left[at] if passes else model.forest.right[at]
    value = model.forest.value.copy()
    value[at, 0] += 1e-3
    spoilt = onnx_graph.write(replace(model, forest=replace(model.forest, value=value)), "m")
    with pytest.raises(ParityError, match="rows differ"):
        parity.check_answers(models.grade_contract(), trained, [parity.onnx_answers(spoilt, inputs)], inputs)
