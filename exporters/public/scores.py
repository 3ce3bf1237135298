"""The scores that public figures are given in, each from the true classes and what a model says of them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from exporters.quality import measures

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def auc(truth: Labels, probabilities: Probabilities, predicted: Labels) -> float:
    """Area under the ROC curve of the first class's probability. truth: int[n]; probabilities: float64[n, C]."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth == 0, probabilities[:, 0]))


def macro_f1(truth: Labels, probabilities: Probabilities, predicted: Labels) -> float:
    """Mean of the classes' F1. truth, predicted: int[n]."""
    return _counted(truth, probabilities, predicted).macro_f1


def accuracy(truth: Labels, probabilities: Probabilities, predicted: Labels) -> float:
    """Share of rows whose class is found. truth, predicted: int[n]."""
    return _counted(truth, probabilities, predicted).accuracy


def _counted(truth: Labels, probabilities: Probabilities, predicted: Labels) -> measures.Score:
    return measures.score(measures.confusion(truth, predicted, probabilities.shape[1]))


Score = Callable[[Labels, Probabilities, Labels], float]
SCORES: dict[str, Score] = {"AUC": auc, "macro-F1": macro_f1, "accuracy": accuracy}
