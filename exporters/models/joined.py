"""Network, boosters and logistic regression joined in one model of two periods."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.errors import DataError
from exporters.fresh_process import FreshProcess
from exporters.models import calibration, keras_network
from exporters.models.blend import Blend
from exporters.models.boosted_hazards import BoostedHazards, flattened
from exporters.models.inputs import FEATURES, HISTORY
from exporters.models.made import Tensors
from exporters.models.network import WideDeep
from serving.contract import ProbabilityOutput, Text

P3, P6, LABEL = "probability_3m", "probability_6m", "label"
OUTPUTS = (
    ProbabilityOutput(P3, Text("leaves within 3 months", "3 个月内离职"), P3),
    ProbabilityOutput(P6, Text("leaves within 6 months", "6 个月内离职"), P6, 0.5, LABEL),
)
"""The threshold stands here until training has found it."""
WITHIN = {P3: 0, P6: 1}
"""Output -> the last class of the target that counts as having left."""
NETWORK, BOOSTED, LINEAR = 0, 1, 2
"""Places of the parts in `Scores`."""
Scores = NDArray[np.float64]
"""Log-odds of leaving in each period, as each part says them: float64[n, 3, 2]."""


@dataclass(frozen=True)
class Linear:
    """Logistic regression of both periods: coefficients [F, 2], intercept [2]."""

    coefficients: NDArray[np.float64]
    intercept: NDArray[np.float64]


@dataclass(frozen=True)
class Parts:
    """What was trained."""

    network: WideDeep
    boosted: BoostedHazards
    linear: Linear

    def scores(self, tensors: Tensors, process: FreshProcess) -> Scores:
        """What each part says of n rows. Keras runs in `process`."""
        network = process.start(keras_network.logits, self.network, tensors[FEATURES], tensors[HISTORY])
        boosted = self.boosted.scores(flattened(tensors))
        linear = tensors[FEATURES] @ self.linear.coefficients + self.linear.intercept
        return np.stack([network.result(), boosted, linear], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Joint:
    """How the parts are joined: weights float32[3, 2], none below 0, and shift float32[2]."""

    weights: NDArray[np.float32]
    shift: NDArray[np.float32]

    def probabilities(self, scores: Scores) -> dict[str, NDArray[np.float32]]:
        """`probability_3m` and `probability_6m`, float32[n]."""
        return _probabilities((scores * self.weights).sum(axis=1) + self.shift)


def join(scores: Scores, target: NDArray[np.int64], used: tuple[int, ...]) -> Joint:
    """The weights of the parts `used` that make what happened likeliest; the others get none. target: int64[n]."""
    weights, shift = np.zeros((3, 2), np.float32), np.zeros(2, np.float32)
    for period in (0, 1):
        there = target >= period
        found = calibration.logistic_stack(scores[there][:, used, period], target[there] == period)
        weights[list(used), period], shift[period] = found[:-1], found[-1]
    return Joint(weights, shift)


@dataclass(frozen=True)
class TrainedAttrition:
    """Network and boosters with the weights that join them, as in `Blend`; a part of weight 0 is not asked."""

    network: WideDeep
    boosted: BoostedHazards
    network_weight: NDArray[np.float32]
    forest_weight: NDArray[np.float32]
    shift: NDArray[np.float32]
    threshold: np.float32
    months: int

    def answers(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """`probability_3m`, `probability_6m` float32[n] and `label` int32[n]: what every export is held to."""
        with FreshProcess() as process:
            return self.asked(tensors, process)

    def asked(self, tensors: Tensors, process: FreshProcess) -> dict[str, NDArray[Any]]:
        """The same, with Keras in a process that is there already."""
        z = np.tile(self.shift.astype(np.float64), (len(tensors[FEATURES]), 1))
        if self.network_weight.any():
            logits = process.call(keras_network.logits, self.network, tensors[FEATURES], tensors[HISTORY])
            z += logits.astype(np.float64) * self.network_weight
        if self.forest_weight.any():
            z += self.boosted.scores(flattened(tensors)).astype(np.float64) * self.forest_weight
        said = _probabilities(z)
        return {**said, LABEL: (said[P6] >= self.threshold).astype(np.int32)}

    def exportable(self) -> Blend:
        """The model as flat arrays."""
        weights = (self.network_weight, self.forest_weight, self.shift)
        return Blend(self.network, self.boosted.forest(), *weights, self.threshold, self.months)


def fold(parts: Parts, joint: Joint, threshold: np.float32, months: int) -> TrainedAttrition:
    """The joined model. Logistic regression is linear, as the wide part of the network is: the two become one.

    Raises DataError when no part has a weight, so that every answer would be the same.
    """
    silent = [name for name, weights in zip(WITHIN, joint.weights.T, strict=True) if not weights.any()]
    if silent:
        raise DataError(f"nothing in these rows tells {silent[0]} of people set apart: more rows or columns are needed")
    of_network, of_forest, of_linear = joint.weights
    network = replace(
        parts.network,
        wide=_float32(parts.network.wide * of_network + parts.linear.coefficients * of_linear),
        wide_bias=_float32(parts.network.wide_bias * of_network + parts.linear.intercept * of_linear),
        head=_float32(parts.network.head * of_network),
    )
    used = np.full(2, np.float32(bool(of_network.any() or of_linear.any())))
    return TrainedAttrition(network, parts.boosted, used, of_forest, joint.shift, threshold, months)


def _probabilities(z: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """Log-odds of both periods float64[n, 2] -> probabilities; the second is never below the first."""
    soon, after = calibration.sigmoid(z).T
    return {P3: soon.astype(np.float32), P6: (soon + (1.0 - soon) * after).astype(np.float32)}


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)
