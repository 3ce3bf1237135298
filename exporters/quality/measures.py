"""How good predictions are: accuracy, macro-F1, confusion, per group, and the best that anyone could do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """Accuracy and macro-averaged F1, 0 .. 1."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class GroupFigures:
    """How one group fares. Shares are 0 .. 1, NaN where nobody is there to measure."""

    name: str
    rows: int
    truly_best: float
    """Share whose true class is the best one."""
    selected: float
    """Share that the model puts into the best class."""
    recall: float
    """Of those truly in the best class, the share that the model finds."""
    accuracy: float


def confusion(truth: Labels, predicted: Labels, classes: int) -> NDArray[np.float64]:
    """float64[C, C]: rows of the truth, columns of the prediction. Both arguments int[n]."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(np.float64)


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


def by_group(truth: Labels, predicted: Labels, group: NDArray[np.str_], best: int = 0) -> list[GroupFigures]:
    """Figures of each group, by name. truth, predicted: int[n]; group: str[n]; best: the best class."""
    figures = []
    for name in np.unique(group).tolist():
        of_group = group == name
        t, p = truth[of_group], predicted[of_group]
        figures.append(
            GroupFigures(name, len(t), _mean(t == best), _mean(p == best), _mean(p[t == best] == best), _mean(t == p))
        )
    return figures


def _mean(holds: NDArray[np.bool_]) -> float:
    return float(holds.mean()) if len(holds) else float("nan")
