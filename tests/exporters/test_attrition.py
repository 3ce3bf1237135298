"""Training the attrition model: what is joined, chosen, folded and exported."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from exporters import cli
from exporters.data import attrition as data
from exporters.errors import DataError
from exporters.fresh_process import FreshProcess
from exporters.models import attrition, importance, joined
from exporters.models.inputs import FEATURES, HISTORY, tensors
from exporters.models.joined import LABEL, P3, P6
from exporters.models.made import Made
from exporters.publishing import export
from exporters.quality import measures
from serving.contract import ProbabilityOutput
from tests.exporters.test_program import of_months

SIZES = attrition.Sizes(rounds=12, epochs=1)


@pytest.fixture(scope="module")
def leaving(process: FreshProcess) -> Iterator[Made]:
    """A small model, trained and not yet exported. TensorFlow is imported once, as no bytes are compared here."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (attrition, joined, export):
            patch.setattr(module, "FreshProcess", lambda: nullcontext(process))
        patch.setattr(attrition, "FRACTIONS", (0.5,))
        yield attrition.make("attrition_model", data.load(1200, 3), 3, SIZES)


@pytest.mark.integration
def test_all_candidates_speak_of_both_horizons_and_the_second_is_never_below_the_first(leaving: Made):
    assert set(leaving.candidates) == set(attrition.VARIANTS)
    for said in leaving.candidates.values():
        assert set(said) == {P3, P6}
        assert (said[P6] >= said[P3]).all()
        assert ((said[P3] > 0) & (said[P6] < 1)).all()


@pytest.mark.integration
def test_the_label_says_whether_six_months_are_at_or_above_the_contracts_threshold(leaving: Made):
    soon, later = leaving.contract.outputs
    assert isinstance(later, ProbabilityOutput)
    assert (soon.name, later.name, later.label) == (P3, P6, LABEL)
    answers = leaving.trained.answers(tensors(leaving.contract, leaving.held_out.columns))
    assert np.array_equal(answers[LABEL], answers[P6] >= np.float32(later.threshold))
    assert 0 < answers[LABEL].mean() < 1


@pytest.mark.integration
def test_what_is_exported_says_what_the_published_candidate_says(leaving: Made):
    answers = leaving.trained.answers(tensors(leaving.contract, leaving.held_out.columns))
    for output in (P3, P6):
        assert np.abs(answers[output] - leaving.candidates[leaving.published][output]).max() < 2e-6


@pytest.mark.integration
def test_all_formats_pass_the_gate(leaving: Made):
    exported = export.export(leaving, 3, rows=1000)
    assert [one.name for one in exported.agreements] == [
        "onnxruntime", "SavedModel (serving_default)", "SavedModel (features)", "gateway",
    ]  # fmt: skip
    assert max(one.difference for one in exported.agreements) < 1e-5


@pytest.mark.integration
def test_held_out_people_are_others_and_later(leaving: Made):
    months = set(leaving.held_out.attributes["month"].tolist())
    assert months == {"2024-06"}
    assert leaving.contract.provenance.rows > 2 * len(leaving.held_out)


@pytest.mark.integration
def test_the_notes_hold_baselines_to_the_network_and_say_how_blend_and_threshold_came_about(leaving: Made):
    against = [note for note in leaving.notes if "minus the network alone" in note]
    assert len(against) == 2 * len(attrition.BASELINES)
    assert all("95 % interval" in note for note in against)
    assert "fitted on" in leaving.notes[-2]
    assert "highest F1" in leaving.notes[-1]


@pytest.mark.integration
def test_the_learning_curve_counts_all_rows_that_had_a_say(leaving: Made):
    (half, _), (whole, auc) = leaving.curve
    assert half == pytest.approx(whole / 2, rel=0.1)
    assert whole == leaving.contract.provenance.rows
    left = leaving.held_out.target <= 1
    assert auc == measures.auc(leaving.candidates[leaving.published][P6], left)


@pytest.mark.unit
def test_a_model_that_is_no_better_than_chance_says_so():
    held_out = data.load(300, 5).table
    noise = np.random.default_rng(0).random((2, len(held_out))).astype(np.float32) / 4
    said = {name: {P3: noise[0], P6: noise[0] + noise[1]} for name in attrition.VARIANTS}
    notes = attrition._notes(said, held_out, 0)
    assert sum("must not be used" in note for note in notes) == 2
    truth = held_out.true_probabilities.cumsum(axis=1).astype(np.float32)
    good = {name: {P3: truth[:, 0], P6: truth[:, 1]} for name in attrition.VARIANTS}
    assert not any("must not be used" in note for note in attrition._notes(good, held_out, 0))


@pytest.mark.unit
def test_parts_without_any_weight_are_refused():
    nothing = joined.Joint(np.array([[0.0, 0.5]] + [[0.0, 0.0]] * 2, np.float32), np.zeros(2, np.float32))
    with pytest.raises(DataError, match="nothing in these rows tells probability_3m"):
        joined.fold(None, nothing, np.float32(0.5), 12)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_every_file(tmp_path: Path):
    command = ["train", "attrition_model", "--employees", "1200", "--epochs", "1", "--trees", "12", "--seed", "3"]
    found = []
    for repository in (tmp_path / "one", tmp_path / "two"):
        assert cli.main([*command, "--repository", str(repository)]) == 0
        found.append(
            {path.relative_to(repository): path.read_bytes() for path in repository.rglob("*") if path.is_file()}
        )
    assert found[0] == found[1]
    assert {path.name for path in found[0]} >= {"model.onnx", "card.md", "reliability.png", "parity.json"}


@pytest.mark.unit
def test_parts_that_tell_nothing_get_no_weight_and_the_others_what_happened_calls_for():
    random = np.random.default_rng(0)
    n = 40_000
    told = random.normal(size=(n, 2))
    soon, after = (random.random(n) < 1 / (1 + np.exp(2.0 - 1.2 * told[:, period])) for period in (0, 1))
    target = np.where(soon, 0, np.where(after, 1, 2))
    scores = np.stack([random.normal(size=(n, 2)), told, -told], axis=1)
    joint = joined.join(scores, target, (joined.NETWORK, joined.BOOSTED))
    assert joint.weights[joined.BOOSTED] == pytest.approx(1.2, abs=0.05)
    assert joint.weights[joined.NETWORK] == pytest.approx(0, abs=0.03)
    assert joint.weights[joined.LINEAR].tolist() == [0, 0]
    assert joint.shift == pytest.approx(-2.0, abs=0.06)
    said = joint.probabilities(scores)
    assert said[P3].mean() == pytest.approx((target == 0).mean(), abs=1e-3)
    assert said[P6].mean() == pytest.approx((target <= 1).mean(), abs=2e-3)


@pytest.mark.unit
def test_the_threshold_is_the_hundredth_with_the_highest_f1():
    random = np.random.default_rng(0)
    p = random.random(2000).astype(np.float32)
    left = random.random(2000) < p
    at = attrition._threshold(p, left)
    f1 = {
        k: 2 * (left & (p >= np.float32(k / 100))).sum() / (left.sum() + (p >= np.float32(k / 100)).sum())
        for k in range(1, 100)
    }
    assert f1[round(float(at) * 100)] == max(f1.values())


@pytest.mark.unit
def test_an_input_is_worth_what_the_loss_grows_without_it():
    random = np.random.default_rng(0)
    cells = random.gamma(2.0, 5.0, (500, 12))
    contract = of_months(cells)
    given = tensors(contract, {"x": np.arange(500) * 1.0, "monthly": cells})
    expected = given[HISTORY][:, :, 0].sum(axis=1)

    def loss(inputs):
        return float(np.abs(inputs[HISTORY][:, :, 0].sum(axis=1) - expected).mean())

    found = importance.permutation(contract, given, loss, 0)
    assert found["x"] == 0
    assert found["monthly"] > 1
    assert set(given) == {FEATURES, HISTORY}
