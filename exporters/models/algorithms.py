"""The two kinds of forest that can be published: how an estimator is made, asked for scores, and flattened."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.models.calibrated import LEAST
from exporters.models.forest import Forest, from_random_forest, from_xgboost


@dataclass(frozen=True)
class Algorithm:
    """`estimator` makes, of (trees, classes, seed), what has fit and feature_importances_.

    scores: (estimator, float32[n, F]) -> float64[n, C], what is calibrated: boosted scores, or logarithms of shares.
    """

    name: str
    trees: int
    estimator: Callable[[int, int, int], Any]
    scores: Callable[[Any, NDArray[np.float32]], NDArray[np.float64]]
    flatten: Callable[[Any], Forest]


def xgboost_classifier(trees: int, classes: int, seed: int, **settings: Any) -> Any:
    """An untrained `XGBClassifier` whose result depends on nothing but its arguments and the data."""
    from xgboost import XGBClassifier

    return XGBClassifier(
        n_estimators=trees,
        objective="multi:softprob",
        num_class=classes,  # said here because for two classes the wrapper would not
        importance_type="total_gain",
        random_state=seed,
        n_jobs=1,  # sums of floats in one order: the same seed gives the same bytes
        **settings,
    )


def _random_forest(trees: int, classes: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(trees, max_leaf_nodes=128, min_samples_leaf=5, random_state=seed, n_jobs=1)


def _boosted_scores(estimator: Any, X: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(estimator.predict(X, output_margin=True), np.float64)


def _logarithms(estimator: Any, X: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.log(np.maximum(estimator.predict_proba(X), LEAST))


XGBOOST = Algorithm(
    "xgboost",
    100,
    lambda trees, classes, seed: xgboost_classifier(
        trees,
        classes,
        seed,
        max_depth=4,
        learning_rate=0.15,
        min_child_weight=5,
        subsample=0.8,
        colsample_bytree=0.5,
    ),
    _boosted_scores,
    from_xgboost,
)
RANDOM_FOREST = Algorithm("random forest", 100, _random_forest, _logarithms, from_random_forest)
ALGORITHMS = (XGBOOST, RANDOM_FOREST)
