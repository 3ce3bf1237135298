"""Cross-validated scores of algorithms on a dataset, features fitted anew on the training part of each fold."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.data.dataset import Dataset
from exporters.models import inputs, program
from exporters.progress import say
from exporters.public.scores import SCORES, Labels, Probabilities
from serving.contract import Provenance

FOLDS, SEEDS = 5, (0, 1, 2)
NOWHERE = Provenance("", "", 0, "", "", 0, False, {})  # contracts made here are never published
T_QUANTILE = 2.1448
"""97.5 % quantile of Student's t with FOLDS * len(SEEDS) - 1 = 14 degrees of freedom."""

Algorithm = Callable[[int, str], Any]
"""(seed, the score aimed at) -> an untrained estimator; a function of a module, so that another process can call it."""
Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""`map`, or the `map` of a pool of processes."""


@dataclass(frozen=True)
class Figures:
    """One score of one algorithm. values: float64[S, K], for each seed and fold."""

    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Over folds and seeds."""
        return float(self.values.mean())

    @property
    def spread(self) -> float:
        """Standard deviation of the seeds' means: what another shuffle would change."""
        return float(self.values.mean(axis=1).std())

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval: what other people from the same source would change.

        Folds share training rows, so their plain standard error is too small. The corrected one adds the ratio of
        test to training rows (Nadeau and Bengio 2003, "Inference for the generalization error").
        """
        correction = 1 / self.values.size + 1 / (FOLDS - 1)
        return T_QUANTILE * float(np.sqrt(correction * self.values.var(ddof=1)))

    def minus(self, other: "Figures") -> "Figures":
        """The difference to another algorithm, fold by fold: both were tested on the same rows."""
        return Figures(self.values - other.values)


@dataclass(frozen=True)
class _Fold:
    """Matrices float32[n, F] and classes int64[n] of one split."""

    X: NDArray[np.float32]
    y: Labels
    X_unseen: NDArray[np.float32]
    y_unseen: Labels
    seed: int


def cross_validate(
    dataset: Dataset, algorithms: Mapping[str, Algorithm], scores: tuple[str, ...], each: Each = map
) -> dict[str, dict[str, Figures]]:
    """Algorithm -> score -> figures, from stratified folds that each seed shuffles; all algorithms see the same folds.

    scores: names in `SCORES`; the first is the one that algorithms may aim at, within the training part.
    """
    task = partial(_scores, algorithms=tuple(algorithms.values()), scores=scores)
    found = []
    for of_fold in each(task, _folds(dataset)):
        found.append(of_fold)
        if len(found) % FOLDS == 0:
            say(f"shuffle {len(found) // FOLDS} of {len(SEEDS)}: {FOLDS} folds done")
    values = np.array(found).reshape(len(SEEDS), FOLDS, len(algorithms), len(scores))
    return {
        name: {score: Figures(values[:, :, a, s]) for s, score in enumerate(scores)}
        for a, name in enumerate(algorithms)
    }


def _folds(dataset: Dataset) -> list[_Fold]:
    from sklearn.model_selection import StratifiedKFold

    table = dataset.table
    folds = []
    for seed in SEEDS:
        for training, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(table.target, table.target):
            rows, unseen = table.rows(training), table.rows(test)
            contract = program.class_draft("cross_validation", dataset, rows, NOWHERE)
            X, X_unseen = (inputs.feature_matrix(contract, part.columns) for part in (rows, unseen))
            folds.append(_Fold(X, rows.target, X_unseen, unseen.target, seed))
    return folds


def _scores(fold: _Fold, algorithms: tuple[Algorithm, ...], scores: tuple[str, ...]) -> NDArray[np.float64]:
    """float64[algorithms, scores] of one fold."""
    from threadpoolctl import threadpool_limits

    found = []
    with threadpool_limits(1):  # sums in one order; and on matrices this small, threads wait more than they work
        for algorithm in algorithms:
            model = algorithm(fold.seed, scores[0]).fit(fold.X, fold.y)
            probabilities: Probabilities = np.asarray(model.predict_proba(fold.X_unseen), np.float64)
            predicted = np.asarray(model.predict(fold.X_unseen), np.int64)
            found.append([SCORES[score](fold.y_unseen, probabilities, predicted) for score in scores])
    return np.array(found)
