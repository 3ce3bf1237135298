"""How good predictions are: accuracy, macro-F1, confusion, AUC, Brier score, log loss, and the best anyone could do.

`weights` float64[n] says how often each row counts (once by default); that is how the bootstrap draws rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Weights = NDArray[np.float64]
Measure = Callable[[Weights | None], float]
"""A figure of n rows that count as often as the weights say; NaN where it cannot be told."""

LEAST = 1e-7
"""A probability counts as at least this far from 0 and 1 before its logarithm is taken: float32 tells no more."""


@dataclass(frozen=True)
class Score:
    """Accuracy and macro-averaged F1, 0 .. 1."""

    accuracy: float
    macro_f1: float


def confusion(truth: Labels, predicted: Labels, classes: int, weights: Weights | None = None) -> NDArray[np.float64]:
    """float64[C, C]: rows of the truth, columns of the prediction. Both arguments int[n]."""
    counts = np.bincount(truth * classes + predicted, weights, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.float64)


def score(matrix: NDArray[np.float64]) -> Score:
    """Of a confusion matrix, counted or expected. A class that is neither there nor predicted has F1 0."""
    hits = np.diag(matrix)
    sizes = matrix.sum(axis=0) + matrix.sum(axis=1)
    f1 = np.divide(2 * hits, sizes, out=np.zeros_like(hits), where=sizes > 0)
    return Score(float(hits.sum() / matrix.sum()), float(f1.mean()))


def best_possible(probabilities: NDArray[np.float64]) -> Score:
    """The highest accuracy and macro-F1 to be expected of one who knows the true probabilities, float64[n, C].

    Accuracy is highest for the likeliest class. Macro-F1 is highest for the likeliest class after each is weighted
    (the optimal rule has that form: Koyejo et al. 2014, "Consistent binary classification with generalized
    performance metrics"; here the weights are found by coordinate search). The two are reached by different rules.
    """
    classes = probabilities.shape[1]

    def expected(weights: NDArray[np.float64]) -> Score:
        chosen = np.eye(classes)[(probabilities * weights).argmax(axis=1)]
        return score(probabilities.T @ chosen)

    weights = np.ones(classes)
    plain = best = expected(weights)
    for _ in range(2):
        for c in range(classes):
            for factor in np.geomspace(0.5, 2.0, 15):
                tried = weights.copy()
                tried[c] = factor
                result = expected(tried)
                if result.macro_f1 > best.macro_f1:
                    best, weights = result, tried
    return Score(plain.accuracy, best.macro_f1)


def auc_measure(p: NDArray[np.floating], y: NDArray[np.generic]) -> Measure:
    """Area under the ROC curve of scores p[n] for events y[n], as a measure that sorts the rows only once.

    The chance that a row with the event scores above a row without it, ties counting half (Hanley & McNeil 1982).
    y is 0 or 1, or the true probability of the event: then the figure is what is to be expected of p.
    """
    order = np.argsort(p, kind="stable")
    ties = np.flatnonzero(np.diff(p[order], prepend=-np.inf))  # where the next score begins
    happened = np.asarray(y, np.float64)[order]

    def measure(weights: Weights | None = None) -> float:
        counts = np.ones(len(order)) if weights is None else weights[order]
        of_events = counts * happened
        events, others = (np.add.reduceat(part, ties) for part in (of_events, counts - of_events))
        pairs = events.sum() * others.sum()
        below = np.cumsum(others) - others / 2
        return float((events * below).sum() / pairs) if pairs > 0 else float("nan")

    return measure


def auc(p: NDArray[np.floating], y: NDArray[np.generic], weights: Weights | None = None) -> float:
    """Area under the ROC curve of scores p[n] for events y[n]; NaN where all rows or none have the event."""
    return auc_measure(p, y)(weights)


def brier(p: NDArray[np.floating], y: NDArray[np.generic]) -> float:
    """Mean squared distance of the probabilities p[n] from the events y[n], 0 or 1 (Brier 1950)."""
    return float(np.mean((np.asarray(p, np.float64) - np.asarray(y, np.float64)) ** 2))


def log_losses(p: NDArray[np.floating], y: NDArray[np.generic]) -> NDArray[np.float64]:
    """-log of the probability given to what happened, in nats. p[n]: probabilities of an event; y[n]: 0 or 1."""
    happened = np.asarray(y, np.float64)
    return -np.log(np.clip(np.abs(1 - happened - np.asarray(p, np.float64)), LEAST, 1 - LEAST))


def class_log_losses(p: NDArray[np.floating], y: Labels) -> NDArray[np.float64]:
    """The same for classes. p[n, C]: probabilities; y int[n]: the true classes."""
    said = np.take_along_axis(np.asarray(p, np.float64), y[:, None], axis=1)[:, 0]
    return -np.log(np.clip(said, LEAST, 1 - LEAST))


def mean_measure(values: NDArray[np.float64]) -> Measure:
    """The mean over rows, as a measure. values: float64[n]."""

    def measure(weights: Weights | None = None) -> float:
        return float(values.mean()) if weights is None else float((weights * values).sum() / weights.sum())

    return measure


def share(event: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    """Of the rows `among`, the share in which the event holds; NaN without such rows. Both bool[n]."""
    return float(event[among].mean()) if among.any() else float("nan")
