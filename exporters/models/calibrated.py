"""A forest of classes whose probabilities were calibrated after training: one slope, and a shift for each class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.models.forest import Forest

LEAST = 1e-3
"""A share of leaves counts as at least this much before its logarithm is taken: below it the last bits of a sum of
float32 would show in the probabilities."""


@dataclass(frozen=True)
class CalibratedForest:
    """probabilities = softmax(slope * s + shift), label = the likeliest class.

    s are the forest's summed leaves and base, float32[n, C], where its link is "softmax" (boosted scores), and the
    logarithm of them, held at `LEAST` or above, where it is "identity" (shares of leaves).
    Source: Guo et al. 2017, "On calibration of modern neural networks" (temperature and vector scaling).
    """

    forest: Forest
    slope: float
    shift: NDArray[np.float32]
    """float32[C]."""
