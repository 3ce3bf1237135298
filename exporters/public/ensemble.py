"""An average of models, chosen by cross-validation inside the rows that it is fitted on."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from exporters.public.scores import SCORES, Labels, Probabilities, Score

INNER_FOLDS = 3
ROUNDS = 12
"""Places in the average; a model may take several."""
_FACTORS = np.geomspace(0.5, 2.0, 15)


class SelectedEnsemble:
    """Models picked one after another, with repetition, each the one that helps the average most on unseen rows.

    Unseen are the rows of `INNER_FOLDS` folds within the rows given to `fit`; the models are then trained on all of
    them. Where the aim is macro-F1, the label is the class of the largest weighted probability, the weights chosen on
    the same unseen rows: a plain majority rule would hardly ever name a rare class.
    Source: Caruana et al. 2004, "Ensemble selection from libraries of models".
    """

    def __init__(self, members: tuple[Callable[[int], Any], ...], aim: str, seed: int) -> None:
        """members: seed -> an untrained classifier. aim: a name in `SCORES`."""
        self.members, self.aim, self.seed = members, aim, seed

    def fit(self, X: NDArray[np.float32], y: Labels) -> Self:
        """X: float32[n, F]; y: int64[n], classes from 0, each there at least `INNER_FOLDS` times."""
        from sklearn.model_selection import StratifiedKFold, cross_val_predict

        folds = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=self.seed)
        unseen = [
            np.asarray(cross_val_predict(member(self.seed), X, y, cv=folds, method="predict_proba"), np.float64)
            for member in self.members
        ]
        score = SCORES[self.aim]
        self.shares = selected(unseen, y, score)
        average = np.tensordot(self.shares, unseen, axes=1)
        self.weights = class_weights(average, y, score) if self.aim == "macro-F1" else np.ones(average.shape[1])
        self.models = [
            member(self.seed).fit(X, y) if share > 0 else None
            for member, share in zip(self.members, self.shares, strict=True)
        ]
        return self

    def predict_proba(self, X: NDArray[np.float32]) -> Probabilities:
        """X: float32[n, F] -> float64[n, C]."""
        parts = zip(self.shares, self.models, strict=True)
        return sum(
            share * np.asarray(model.predict_proba(X), np.float64) for share, model in parts if model is not None
        )

    def predict(self, X: NDArray[np.float32]) -> Labels:
        """X: float32[n, F] -> int64[n]."""
        return (self.predict_proba(X) * self.weights).argmax(axis=1)


def selected(unseen: list[Probabilities], y: Labels, score: Score) -> NDArray[np.float64]:
    """The share of each model in the average, summing to 1. unseen: float64[n, C] of each model; y: int64[n]."""
    chosen = np.zeros(len(unseen))
    total = np.zeros_like(unseen[0])
    for _ in range(ROUNDS):
        gains = [_of_likeliest(score, y, total + probabilities) for probabilities in unseen]
        best = int(np.argmax(gains))
        chosen[best] += 1
        total = total + unseen[best]
    return chosen / ROUNDS


def class_weights(probabilities: Probabilities, y: Labels, score: Score) -> NDArray[np.float64]:
    """Weights float64[C] under which the largest weighted probability scores best; found by coordinate search.

    The rule that is best for macro-F1 has that form (Koyejo et al. 2014, "Consistent binary classification with
    generalized performance metrics").
    """
    weights = np.ones(probabilities.shape[1])
    best = _of_likeliest(score, y, probabilities)
    for _ in range(2):
        for c in range(len(weights)):
            for factor in _FACTORS:
                tried = weights.copy()
                tried[c] = factor
                found = _of_likeliest(score, y, probabilities * tried)
                if found > best:
                    best, weights = found, tried
    return weights


def _of_likeliest(score: Score, y: Labels, weighted: NDArray[np.float64]) -> float:
    return score(y, weighted, weighted.argmax(axis=1))
