"""Quality figures agree with scikit-learn, rows count as often as their weights say, and bands are as announced."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from exporters.data.dataset import group_names
from exporters.quality import measures

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def events() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities with many ties, float32[500]; events, bool[500]; how often each row counts, float64[500]."""
    rng = np.random.default_rng(5)
    p = rng.integers(1, 20, 500).astype(np.float32) / 20
    return p, rng.random(500) < p, rng.integers(0, 4, 500).astype(np.float64)


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 500), rng.integers(0, 3, 500)
    score = measures.score(measures.confusion(truth, predicted, 3))
    assert score.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert score.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"))


def test_weighted_scores_are_those_of_rows_repeated():
    rng = np.random.default_rng(1)
    truth, predicted, times = rng.integers(0, 3, 300), rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    weighted = measures.confusion(truth, predicted, 3, times.astype(float))
    repeated = measures.confusion(truth.repeat(times), predicted.repeat(times), 3)
    assert np.array_equal(weighted, repeated)


def test_a_class_that_is_never_predicted_counts_as_zero():
    score = measures.score(measures.confusion(np.array([0, 0, 1]), np.array([0, 0, 0]), 2))
    assert score.macro_f1 == pytest.approx(0.4)


def test_auc_by_hand():
    # of 4 pairs (with, without): 0.8 > 0.3, 0.8 > 0.5, 0.5 > 0.3, 0.5 = 0.5 which counts half
    assert measures.auc(np.array([0.8, 0.5, 0.3, 0.5]), np.array([1, 1, 0, 0])) == 3.5 / 4


def test_auc_is_that_of_scikit_learn_with_ties_and_weights(events):
    p, y, weights = events
    assert measures.auc(p, y) == pytest.approx(roc_auc_score(y, p))
    assert measures.auc(p, y, weights) == pytest.approx(roc_auc_score(y, p, sample_weight=weights))


def test_auc_of_one_kind_of_rows_cannot_be_told():
    assert np.isnan(measures.auc(np.array([0.1, 0.2]), np.array([1, 1])))


def test_auc_expected_of_true_probabilities_is_the_mean_over_draws_of_events():
    rng = np.random.default_rng(2)
    p = rng.beta(1, 4, 2000)
    drawn = [measures.auc(p, rng.random(2000) < p) for _ in range(200)]
    assert measures.auc(p, p) == pytest.approx(np.mean(drawn), abs=3 * np.std(drawn) / np.sqrt(200))


def test_brier_score_and_log_loss_are_those_of_scikit_learn(events):
    p, y, weights = events
    assert measures.brier(p, y) == pytest.approx(brier_score_loss(y, p))
    losses = measures.mean_measure(measures.log_losses(p, y))
    assert losses(None) == pytest.approx(log_loss(y, p.astype(float)))
    assert losses(weights) == pytest.approx(log_loss(y, p.astype(float), sample_weight=weights))


def test_log_loss_of_classes_is_that_of_scikit_learn():
    rng = np.random.default_rng(3)
    p, y = rng.dirichlet(np.ones(3), 400), rng.integers(0, 3, 400)
    assert measures.class_log_losses(p, y).mean() == pytest.approx(log_loss(y, p))


def test_log_loss_of_certain_error_is_large_and_finite():
    certain = np.array([0.0, 1.0], np.float32)
    assert measures.log_losses(certain, np.array([1, 0])) == pytest.approx(-np.log(1e-7))
    assert measures.class_log_losses(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-7))


def test_shares_count_only_the_rows_among_which_they_are_taken():
    event = np.array([True, False, True, True])
    assert measures.share(event, np.array([True, True, False, True])) == pytest.approx(2 / 3)
    assert np.isnan(measures.share(event, np.zeros(4, bool)))


def test_ages_fall_into_bands_whose_lower_bound_belongs_to_them():
    names = group_names(np.array([29.0, 30.0, 50.0, np.nan]), (30.0, 50.0))
    assert names.tolist() == ["< 30", "30 .. < 50", ">= 50", "unknown"]
