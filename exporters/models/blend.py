"""Network and forest joined in one model of two horizons."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.models.forest import Forest
from exporters.models.network import WideDeep


@dataclass(frozen=True)
class Blend:
    """Hazards of two periods that follow each other, from features float32[n, F] and history float32[n, T, K].

    z = network_weight * network logits + forest_weight * forest scores + shift, float32[n, 2]; hazards = sigmoid(z):
    of the first period, and of the second for who is still there. probability_3m = hazard 1; probability_6m =
    probability_3m + (1 - probability_3m) * hazard 2, which is never below it; label = probability_6m >= threshold.

    The forest (link "identity", value float32[N, 2], base float32[2]) reads [features, history month by month]:
    float32[n, F + T * K], where value k of month t stands at F + t * K + k.
    """

    network: WideDeep
    forest: Forest
    network_weight: NDArray[np.float32]
    """float32[2]; 0 leaves the network out."""
    forest_weight: NDArray[np.float32]
    """float32[2]; 0 leaves the forest out."""
    shift: NDArray[np.float32]
    """float32[2]."""
    threshold: np.float32
    months: int
    """T."""
