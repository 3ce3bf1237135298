"""The two kinds of forest that can be published: each a way to make an estimator and a way to flatten it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.models.forest import Forest, from_random_forest, from_xgboost


@dataclass(frozen=True)
class Algorithm:
    """`estimator` makes, of (trees, classes, seed), what has fit, predict_proba and feature_importances_."""

    name: str
    trees: int
    estimator: Callable[[int, int, int], Any]
    flatten: Callable[[Any], Forest]


@dataclass(frozen=True)
class Trained:
    """A trained model. It has seen the matrix that the gateway's own kernel makes, and nothing else."""

    algorithm: Algorithm
    estimator: Any

    def probabilities(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """X: float32[n, F] -> float32[n, C], rows sum to 1: what every export is held to."""
        return np.asarray(self.estimator.predict_proba(X)).astype(np.float32)

    def importances(self) -> NDArray[np.float64]:
        """float64[F], summing to 1: the share of each feature in what the splits gained."""
        gained = np.asarray(self.estimator.feature_importances_, np.float64)
        return gained / gained.sum() if gained.sum() > 0 else np.full(len(gained), 1.0 / len(gained))

    def forest(self) -> Forest:
        """The model as flat arrays."""
        return self.algorithm.flatten(self.estimator)


def train(algorithm: Algorithm, X: NDArray[np.float32], y: NDArray[np.int64], seed: int, trees: int = 0) -> Trained:
    """X: float32[n, F]; y: int64[n], classes from 0, each there; trees: a forest size other than the published one."""
    estimator = algorithm.estimator(trees or algorithm.trees, int(y.max()) + 1, seed)
    return Trained(algorithm, estimator.fit(X, y))


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

    return RandomForestClassifier(trees, max_leaf_nodes=96, min_samples_leaf=5, random_state=seed, n_jobs=1)


XGBOOST = Algorithm(
    "xgboost",
    100,
    lambda trees, classes, seed: xgboost_classifier(
        trees, classes, seed, max_depth=4, learning_rate=0.2, min_child_weight=4
    ),
    from_xgboost,
)
RANDOM_FOREST = Algorithm("random forest", 100, _random_forest, from_random_forest)
ALGORITHMS = (XGBOOST, RANDOM_FOREST)
