"""Quality figures agree with scikit-learn, and groups are counted as they should be."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from exporters.data.dataset import group_names
from exporters.quality import measures

pytestmark = pytest.mark.unit


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 500), rng.integers(0, 3, 500)
    score = measures.score(measures.confusion(truth, predicted, 3))
    assert score.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert score.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"))


def test_a_class_that_is_never_predicted_counts_as_zero():
    score = measures.score(measures.confusion(np.array([0, 0, 1]), np.array([0, 0, 0]), 2))
    assert score.macro_f1 == pytest.approx(0.4)


def test_group_figures_tell_selection_from_recall():
    truth, predicted = np.array([0, 0, 1, 1, 0]), np.array([0, 1, 0, 1, 1])
    first, second = measures.by_group(truth, predicted, np.array(["x", "x", "x", "x", "y"]))
    assert (first.selected, first.recall, first.truly_best) == (0.5, 0.5, 0.5)
    assert (second.rows, second.selected, second.recall) == (1, 0.0, 0.0)


def test_ages_fall_into_bands_whose_lower_bound_belongs_to_them():
    names = group_names(np.array([29.0, 30.0, 50.0, np.nan]), (30.0, 50.0))
    assert names.tolist() == ["< 30", "30 .. < 50", ">= 50", "unknown"]
