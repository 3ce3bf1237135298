"""Who may leave: a wide and deep network, its rivals beside it, and a blend of all where that is better."""

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.data.dataset import Dataset
from exporters.data.splits import split_groups
from exporters.fresh_process import FreshProcess
from exporters.models import boosted_hazards, importance, inputs, joined, keras_network, program
from exporters.models.boosted_hazards import flattened
from exporters.models.inputs import FEATURES, HISTORY
from exporters.models.joined import OUTPUTS, P6, WITHIN, Joint, Linear, Parts, Scores
from exporters.models.made import Made, Tensors
from exporters.models.parts import parted
from exporters.models.provenance import features_sha256, provenance
from exporters.progress import say
from exporters.quality import measures
from exporters.quality.intervals import Bootstrap

HELD_OUT, CHECKED = 0.35, 0.15
NETWORK, BLEND = "wide and deep (logistic regression + LSTM)", "blend of network, XGBoost and logistic regression"
RIVALS = {"XGBoost on the flattened window": (joined.BOOSTED,), "logistic regression alone": (joined.LINEAR,)}
VARIANTS: dict[str, tuple[int, ...]] = {
    NETWORK: (joined.NETWORK,),
    **RIVALS,
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
    """Train network, boosters and logistic regression; publish the network, or the blend where it is clearly better.

    Raises DataError when the table cannot be learnt from.
    """
    dataset, training, held_out = parted(dataset, HELD_OUT, seed)
    origin = provenance(dataset, len(training), seed)
    contract = program.draft(model, dataset, training, origin, OUTPUTS, standardized=True)
    tensors, tensors_held = (inputs.tensors(contract, table.columns) for table in (training, held_out))
    checked = split_groups(training.groups, CHECKED, seed)
    rows = _Rows(_at(tensors, ~checked), training.target[~checked], _at(tensors, checked), training.target[checked])
    with FreshProcess() as process:
        parts = _train(rows, seed, sizes, process)
        of_checked = parts.scores(rows.tensors_checked, process)
        joints = {name: joined.join(of_checked, rows.target_checked, used) for name, used in VARIANTS.items()}
        published, notes = _choose(joints, of_checked, training.groups[checked], rows.target_checked, seed)
        p_checked = joints[published].probabilities(of_checked)[P6]
        threshold = _threshold(p_checked, rows.target_checked <= WITHIN[P6])
        trained = joined.fold(parts, joints[published], threshold, tensors[HISTORY].shape[1])
        of_held = parts.scores(tensors_held, process)
        said = {name: joint.probabilities(of_held) for name, joint in joints.items()}
        say("; ".join(f"{name}: AUC {_auc(held_out.target, of[P6]):.4f}" for name, of in said.items()))

        def loss(given: Tensors) -> float:
            left = rows.target_checked[:_IMPORTANCE_ROWS] <= WITHIN[P6]
            return float(measures.log_losses(trained.asked(given, process)[P6], left).mean())

        weights = importance.permutation(contract, _at(rows.tensors_checked, slice(0, _IMPORTANCE_ROWS)), loss, seed)
        curve = []
        for fraction in FRACTIONS:
            kept = split_groups(training.groups, fraction, seed + 1)[~checked]
            fewer = replace(rows, tensors=_at(rows.tensors, kept), target=rows.target[kept])
            p = _learnt(fewer, VARIANTS[published], tensors_held, seed, sizes, process)
            curve.append((int(kept.sum()), _auc(held_out.target, p)))
            say(f"learning curve: {kept.sum()} rows, AUC {curve[-1][1]:.4f}")
    curve.append((len(rows.target), _auc(held_out.target, said[published][P6])))
    contract = msgspec.structs.replace(
        program.weighed(contract, weights),
        outputs=(OUTPUTS[0], msgspec.structs.replace(OUTPUTS[1], threshold=float(threshold))),
        provenance=msgspec.structs.replace(origin, algorithm=published, features_sha256=features_sha256(tensors)),
    )
    return Made(contract, trained, held_out, said, published, tuple(curve), CURVE_SCORE, notes)


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


def _choose(
    joints: dict[str, Joint],
    of_checked: Scores,
    groups: NDArray[Any],
    target: NDArray[np.int64],
    seed: int,
) -> tuple[str, tuple[str, ...]]:
    """What is published, by the checked rows, and why in sentences.

    The network, unless a rival or the blend has an AUC above its by more than the 95 % interval of the difference in
    either horizon: then the blend.
    """
    said = {name: joint.probabilities(of_checked) for name, joint in joints.items()}
    bootstrap = Bootstrap(groups, seed)
    notes, published = [], NETWORK
    for output, last in WITHIN.items():
        drawn = {name: bootstrap.measure(measures.auc_measure(of[output], target <= last)) for name, of in said.items()}
        for rival in (*RIVALS, BLEND):
            gain = (drawn[rival] - drawn[NETWORK]).interval()
            wins = gain.low > 0
            published = BLEND if wins else published
            notes.append(
                f"AUC of `{output}`, {rival} minus the network alone: {gain.value:+.4f} "
                f"(95 % interval {gain.low:+.4f} to {gain.high:+.4f})" + (": it wins." if wins else ".")
            )
    notes.append(
        f"So the {published} is published: chosen, and its parts weighed, on {len(target)} rows of people set apart "
        "from those trained on."
    )
    return published, tuple(notes)


def _threshold(p: NDArray[np.float32], left: NDArray[np.bool_]) -> np.float32:
    """The hundredth at which a label "p is at or above it" has the highest F1."""
    grid = np.arange(1, 100, dtype=np.float32) / np.float32(100)
    found = [2 * (flagged := p >= at)[left].sum() / max(flagged.sum() + left.sum(), 1) for at in grid]
    return np.float32(grid[int(np.argmax(found))])


def _learnt(
    rows: _Rows, used: tuple[int, ...], tensors_held: Tensors, seed: int, sizes: Sizes, process: FreshProcess
) -> NDArray[np.float32]:
    """`probability_6m` of held-out rows after the same training on other rows."""
    parts = _train(rows, seed, sizes, process)
    joint = joined.join(parts.scores(rows.tensors_checked, process), rows.target_checked, used)
    return joint.probabilities(parts.scores(tensors_held, process))[P6]


def _at(tensors: Tensors, which: Any) -> dict[str, NDArray[np.float32]]:
    return {name: values[which] for name, values in tensors.items()}


def _auc(target: NDArray[np.int64], p: NDArray[np.float32]) -> float:
    return measures.auc(p, target <= WITHIN[P6])
