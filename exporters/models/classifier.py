"""A classifier of a table: two forests, weighted, calibrated, the better one kept, its rivals beside it."""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.data.dataset import Dataset
from exporters.data.splits import split_groups
from exporters.data.table import Table
from exporters.models import baselines, calibration, inputs, program
from exporters.models.algorithms import ALGORITHMS, Algorithm
from exporters.models.calibrated import CalibratedForest
from exporters.models.inputs import FEATURES
from exporters.models.made import Made, Tensors
from exporters.models.parts import parted, set_apart
from exporters.models.provenance import features_sha256, provenance
from exporters.progress import say
from exporters.quality import measures
from serving.contract import Contract

HELD_OUT, CALIBRATION = 0.25, 0.2
LINEAR, COMMONEST = "logistic regression", "always the commonest class"
FRACTIONS = (0.125, 0.25, 0.5)
"""Of the training people, for the learning curve; all of them besides."""
CURVE_SCORE = "macro-F1 on the held-out rows"

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class TrainedClassifier:
    """A forest and its calibration."""

    algorithm: Algorithm
    estimator: Any
    slope: float
    shift: NDArray[np.float32]

    def answers(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """`probabilities` float32[n, C] and `label` int32[n]: what every export is held to."""
        scores = self.algorithm.scores(self.estimator, tensors[FEATURES])
        probabilities = calibration.softmax(self.slope * scores + self.shift).astype(np.float32)
        return {"probabilities": probabilities, "label": probabilities.argmax(axis=1).astype(np.int32)}

    def exportable(self) -> CalibratedForest:
        """The model as flat arrays."""
        return CalibratedForest(self.algorithm.flatten(self.estimator), self.slope, self.shift)

    def importances(self, contract: Contract) -> dict[str, float]:
        """Raw input -> what the splits on its features gained."""
        source, found = inputs.sources(contract), {raw.name: 0.0 for raw in contract.inputs}
        for feature, gain in zip(contract.program.features, self.estimator.feature_importances_, strict=True):
            found[source[feature]] += float(gain)
        return found


def train(
    algorithm: Algorithm, X: Matrix, y: Labels, apart: NDArray[np.bool_], seed: int, trees: int = 0
) -> TrainedClassifier:
    """Train on the rows that are not set `apart`, calibrate on those that are.

    X: float32[n, F]; y: int64[n], classes from 0, each in both parts; apart: bool[n]. Rare classes weigh more, by the
    square root of how much rarer they are: the trees look at them, and the calibration takes the bias out again.
    """
    there = np.bincount(y[~apart])
    weights = np.sqrt(len(y) / there[y[~apart]])
    estimator = algorithm.estimator(trees or algorithm.trees, len(there), seed)
    estimator.fit(X[~apart], y[~apart], sample_weight=weights / weights.mean())
    slope, shift = calibration.vector_scaling(algorithm.scores(estimator, X[apart]), y[apart])
    return TrainedClassifier(algorithm, estimator, slope, shift)


def make(model: str, dataset: Dataset, seed: int, trees: int = 0) -> Made:
    """Train both algorithms and the baselines, keep the forest with the better macro-F1 on the held-out rows.

    trees: size of the forests, 0 for the published one. Raises DataError when the table cannot be learnt from.
    """
    dataset, training, held_out = parted(dataset, HELD_OUT, seed)
    contract = program.class_draft(model, dataset, training, provenance(dataset, len(training), seed))
    tensors, tensors_held = (inputs.tensors(contract, table.columns) for table in (training, held_out))
    X, y = tensors[FEATURES], training.target
    apart = set_apart(training, CALIBRATION, seed)
    forests: dict[str, TrainedClassifier] = {}
    said: dict[str, NDArray[np.float32]] = {}
    for algorithm in ALGORITHMS:
        forests[algorithm.name] = trained = train(algorithm, X, y, apart, seed, trees)
        said[algorithm.name] = trained.answers(tensors_held)["probabilities"]
        say(f"{algorithm.name}: held-out macro-F1 {_macro_f1(held_out, said[algorithm.name]):.3f}")
    published = max(forests, key=lambda name: _macro_f1(held_out, said[name]))
    linear = baselines.logistic_regression().fit(X, y)
    said[LINEAR] = linear.predict_proba(tensors_held[FEATURES]).astype(np.float32)
    said[COMMONEST] = baselines.shares(y, len(held_out))
    trained = forests[published]
    curve = _curve(trained.algorithm, training, X, apart, held_out, tensors_held, seed, trees)
    curve += ((len(training), _macro_f1(held_out, said[published])),)
    contract = program.weighed(contract, trained.importances(contract))
    origin = msgspec.structs.replace(
        contract.provenance, algorithm=f"{published}, calibrated", features_sha256=features_sha256(tensors)
    )
    candidates = {name: {"probabilities": p} for name, p in said.items()}
    contract = msgspec.structs.replace(contract, provenance=origin)
    notes = (
        "The forest with the better macro-F1 on these held-out rows is published: its figures are slightly flattered.",
        f"Its probabilities are calibrated on {apart.sum()} of the training rows, of people on whom no tree was grown.",
    )
    return Made(contract, trained, held_out, candidates, published, curve, CURVE_SCORE, notes)


def _curve(
    algorithm: Algorithm,
    training: Table,
    X: Matrix,
    apart: NDArray[np.bool_],
    held_out: Table,
    tensors_held: Tensors,
    seed: int,
    trees: int,
) -> tuple[tuple[int, float], ...]:
    """Macro-F1 of the same procedure with fewer people; sizes that lose a class are left out."""
    points = []
    for fraction in FRACTIONS:
        kept = split_groups(training.groups, fraction, seed + 1)
        both = (training.target[kept & ~apart], training.target[kept & apart])
        if any(np.bincount(part, minlength=len(training.classes)).min() < 2 for part in both):
            continue
        trained = train(algorithm, X[kept], training.target[kept], apart[kept], seed, trees)
        points.append((int(kept.sum()), _macro_f1(held_out, trained.answers(tensors_held)["probabilities"])))
    return tuple(points)


def _macro_f1(table: Table, probabilities: NDArray[np.float32]) -> float:
    predicted = probabilities.argmax(axis=1)
    return measures.score(measures.confusion(table.target, predicted, len(table.classes))).macro_f1
