"""Who may leave: a wide and deep network, boosted trees and logistic regression beside it, and the blend of all."""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.data.dataset import Dataset
from exporters.data.splits import split_groups
from exporters.data.table import Table
from exporters.fresh_process import FreshProcess
from exporters.models import boosted_hazards, importance, inputs, joined, keras_network, program
from exporters.models.boosted_hazards import flattened
from exporters.models.inputs import FEATURES, HISTORY
from exporters.models.joined import OUTPUTS, P6, WITHIN, Linear, Parts, TrainedAttrition
from exporters.models.made import Made, Tensors
from exporters.models.parts import parted, set_apart
from exporters.models.provenance import features_sha256, provenance
from exporters.progress import say
from exporters.quality import measures
from exporters.quality.intervals import Bootstrap
from serving.contract import Contract

HELD_OUT, CHECKED = 0.35, 0.15
NETWORK, BLEND = "wide and deep (logistic regression + LSTM)", "blend of network, XGBoost and logistic regression"
BASELINES = {"XGBoost on the flattened window": (joined.BOOSTED,), "logistic regression alone": (joined.LINEAR,)}
VARIANTS: dict[str, tuple[int, ...]] = {
    NETWORK: (joined.NETWORK,),
    **BASELINES,
    BLEND: (joined.NETWORK, joined.BOOSTED, joined.LINEAR),
}
"""Candidate -> the parts it is joined of."""
FRACTIONS = (0.125, 0.25, 0.5)
"""Of the training people, for the learning curve; all of them besides."""
CURVE_SCORE = f"AUC of {P6} on the held-out rows"
_IMPORTANCE_ROWS = 4000


@dataclass(frozen=True)
class Sizes:
    """How long is trained."""

    rounds: int = boosted_hazards.ROUNDS
    epochs: int = keras_network.EPOCHS


@dataclass(frozen=True)
class _Rows:
    """Rows to fit on, and rows of other people on which boosting stops, the parts are joined and the choice is made."""

    tensors: Tensors
    target: NDArray[np.int64]
    tensors_checked: Tensors
    target_checked: NDArray[np.int64]


def make(model: str, dataset: Dataset, seed: int, sizes: Sizes = Sizes()) -> Made:
    """Train network, boosters and logistic regression, and publish their blend.

    Raises DataError when the table cannot be learnt from.
    """
    dataset, training, held_out = parted(dataset, HELD_OUT, seed)
    origin = provenance(dataset, len(training), seed)
    contract = program.draft(model, dataset, training, origin, OUTPUTS, standardized=True)
    tensors, tensors_held = (inputs.tensors(contract, table.columns) for table in (training, held_out))
    checked = set_apart(training, CHECKED, seed)
    rows = _rows(tensors, training.target, checked)
    with FreshProcess() as process:
        parts = _train(rows, seed, sizes, process)
        of_checked = parts.scores(rows.tensors_checked, process)
        joints = {name: joined.join(of_checked, rows.target_checked, used) for name, used in VARIANTS.items()}
        p_checked = joints[BLEND].probabilities(of_checked)[P6]
        threshold = _threshold(p_checked, rows.target_checked <= WITHIN[P6])
        trained = joined.fold(parts, joints[BLEND], threshold, tensors[HISTORY].shape[1])
        of_held = parts.scores(tensors_held, process)
        said = {name: joint.probabilities(of_held) for name, joint in joints.items()}
        say("; ".join(f"{name}: AUC {_auc(held_out.target, of[P6]):.4f}" for name, of in said.items()))
        weights = _importances(contract, trained, rows, process, seed)
        curve = _curve(training, tensors, checked, held_out, tensors_held, seed, sizes, process)
    curve += ((len(training), _auc(held_out.target, said[BLEND][P6])),)
    contract = msgspec.structs.replace(
        program.weighed(contract, weights),
        outputs=(OUTPUTS[0], msgspec.structs.replace(OUTPUTS[1], threshold=float(threshold))),
        provenance=msgspec.structs.replace(origin, algorithm=BLEND, features_sha256=features_sha256(tensors)),
    )
    notes = (*_notes(said, held_out, seed), *_how(len(rows.target_checked), float(threshold)))
    return Made(contract, trained, held_out, said, BLEND, curve, CURVE_SCORE, notes)


def _rows(tensors: Tensors, target: NDArray[np.int64], checked: NDArray[np.bool_]) -> _Rows:
    return _Rows(_at(tensors, ~checked), target[~checked], _at(tensors, checked), target[checked])


def _train(rows: _Rows, seed: int, sizes: Sizes, process: FreshProcess) -> Parts:
    """The network in its process, and meanwhile the others here."""
    features, history = rows.tensors[FEATURES], rows.tensors[HISTORY]
    network = process.start(keras_network.fit, features, history, rows.target, seed, sizes.epochs)
    X, X_checked = flattened(rows.tensors), flattened(rows.tensors_checked)
    boosted = boosted_hazards.fit(X, rows.target, X_checked, rows.target_checked, seed, sizes.rounds)
    linear = _linear(features, rows.target)
    return Parts(network.result(), boosted, linear)


def _linear(features: NDArray[np.float32], target: NDArray[np.int64]) -> Linear:
    """Logistic regression of both periods on the feature matrix: facts and summaries of the months."""
    from sklearn.linear_model import LogisticRegression

    fitted = []
    for period in (0, 1):
        there = target >= period
        fitted.append(LogisticRegression(max_iter=1000).fit(features[there], target[there] == period))
    return Linear(
        np.concatenate([one.coef_ for one in fitted]).T.astype(np.float64),
        np.concatenate([one.intercept_ for one in fitted]).astype(np.float64),
    )


def _notes(said: dict[str, dict[str, NDArray[np.float32]]], held_out: Table, seed: int) -> list[str]:
    """Whether a baseline wins against the network, and whether what is published beats chance, on the held-out rows."""
    bootstrap, notes = Bootstrap(held_out.groups, seed), []
    for output, last in WITHIN.items():
        left = held_out.target <= last
        drawn = {name: bootstrap.measure(measures.auc_measure(of[output], left)) for name, of in said.items()}
        for baseline in BASELINES:
            gain = (drawn[baseline] - drawn[NETWORK]).interval()
            notes.append(
                f"AUC of `{output}`, {baseline} minus the network alone: {gain.value:+.4f} (95 % interval "
                f"{gain.low:+.4f} to {gain.high:+.4f})"
                + (": the baseline wins, by more than its interval." if gain.low > 0 else ".")
            )
        if not drawn[BLEND].interval().low > 0.5:
            notes.append(
                f"**The AUC of `{output}` is not above 0.5 by more than its interval: this model is not shown to be "
                "better than chance and must not be used.**"
            )
    return notes


def _how(checked: int, threshold: float) -> list[str]:
    return [
        "Published is a blend of all three. Their weights, and with them the calibration, are fitted on "
        f"{checked} training rows of people on whom nothing else was trained (but for the round at which boosting "
        "stops): on these rows no part alone is better.",
        f"The threshold {threshold:.2f} is the hundredth with the highest F1 of the label on the same rows.",
    ]


def _importances(
    contract: Contract, trained: TrainedAttrition, rows: _Rows, process: FreshProcess, seed: int
) -> dict[str, float]:
    """Raw input -> what the log loss of six months grows without it, on some of the checked rows."""
    count = len(rows.target_checked)
    some = np.sort(np.random.default_rng(seed).permutation(count)[:_IMPORTANCE_ROWS])
    left = rows.target_checked[some] <= WITHIN[P6]

    def loss(given: Tensors) -> float:
        return float(measures.log_losses(trained.asked(given, process)[P6], left).mean())

    return importance.permutation(contract, _at(rows.tensors_checked, some), loss, seed)


def _threshold(p: NDArray[np.float32], left: NDArray[np.bool_]) -> np.float32:
    """The hundredth at which a label "p is at or above it" has the highest F1."""
    grid = np.arange(1, 100, dtype=np.float32) / np.float32(100)
    found = [2 * (flagged := p >= at)[left].sum() / max(flagged.sum() + left.sum(), 1) for at in grid]
    return np.float32(grid[int(np.argmax(found))])


def _curve(
    training: Table,
    tensors: Tensors,
    checked: NDArray[np.bool_],
    held_out: Table,
    tensors_held: Tensors,
    seed: int,
    sizes: Sizes,
    process: FreshProcess,
) -> tuple[tuple[int, float], ...]:
    """AUC of the same procedure with fewer people; sizes at which nobody leaves in some period are left out."""
    points = []
    for fraction in FRACTIONS:
        kept = split_groups(training.groups, fraction, seed + 1)
        fewer = _rows(_at(tensors, kept), training.target[kept], checked[kept])
        if min(np.bincount(part, minlength=3).min() for part in (fewer.target, fewer.target_checked)) < 2:
            continue
        points.append((int(kept.sum()), _auc(held_out.target, _learnt(fewer, tensors_held, seed, sizes, process))))
        say(f"learning curve: {points[-1][0]} rows, AUC {points[-1][1]:.4f}")
    return tuple(points)


def _learnt(rows: _Rows, tensors_held: Tensors, seed: int, sizes: Sizes, process: FreshProcess) -> NDArray[np.float32]:
    """`probability_6m` of held-out rows after the same training on other rows."""
    parts = _train(rows, seed, sizes, process)
    joint = joined.join(parts.scores(rows.tensors_checked, process), rows.target_checked, VARIANTS[BLEND])
    return joint.probabilities(parts.scores(tensors_held, process))[P6]


def _at(tensors: Tensors, which: Any) -> dict[str, NDArray[np.float32]]:
    return {name: values[which] for name, values in tensors.items()}


def _auc(target: NDArray[np.int64], p: NDArray[np.float32]) -> float:
    return measures.auc(p, target <= WITHIN[P6])
