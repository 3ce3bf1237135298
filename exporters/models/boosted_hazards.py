"""Boosted trees on static features and the flattened window: one booster for each of two periods."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.models.forest import Forest, from_boosters
from exporters.models.made import Tensors

ROUNDS, PATIENCE = 400, 25
_SETTINGS = {
    "objective": "binary:logistic",
    "max_depth": 4,
    "learning_rate": 0.06,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "min_child_weight": 5,
    "nthread": 1,  # sums of floats in one order: the same seed gives the same bytes
}


def flattened(inputs: Tensors) -> NDArray[np.float32]:
    """Features and months side by side, float32[n, F + T * K]: value k of month t stands at F + t * K + k."""
    history = inputs["history"]
    return np.concatenate([inputs["features"], history.reshape(len(history), -1)], axis=1)


@dataclass(frozen=True)
class BoostedHazards:
    """A booster for the first period, and one for the second among those who outlived the first."""

    boosters: tuple[Any, Any]

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-odds float32[n, 2], as xgboost itself computes them. X: as `flattened` gives it."""
        from xgboost import DMatrix

        rows = DMatrix(X)
        return np.stack([booster.predict(rows, output_margin=True) for booster in self.boosters], axis=1)

    def forest(self) -> Forest:
        """Both as one forest of two scores."""
        return from_boosters(self.boosters)

    def gains(self, columns: int) -> NDArray[np.float64]:
        """What the splits on each column gained in all, float64[columns], summing to 1."""
        total = np.zeros(columns)
        for booster in self.boosters:
            for name, gain in booster.get_score(importance_type="total_gain").items():
                total[int(name[1:])] += gain
        return total / max(total.sum(), 1e-300)


def fit(
    X: NDArray[np.float32],
    target: NDArray[np.int64],
    X_held: NDArray[np.float32],
    target_held: NDArray[np.int64],
    seed: int,
    rounds: int,
) -> BoostedHazards:
    """Train on rows, and stop where the held rows (of other people) no longer gain. target: int64[n] as in the network.

    A booster is cut to its best round, so that what is saved is what predicts.
    """
    import xgboost

    boosters = []
    for period in (0, 1):
        there, there_held = target >= period, target_held >= period
        rows = xgboost.DMatrix(X[there], target[there] == period)
        held = xgboost.DMatrix(X_held[there_held], target_held[there_held] == period)
        booster = xgboost.train(
            {**_SETTINGS, "seed": seed + period},
            rows,
            rounds,
            evals=[(held, "held")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        boosters.append(booster[: booster.best_iteration + 1])
    return BoostedHazards((boosters[0], boosters[1]))
