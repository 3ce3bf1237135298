"""What is checked of everything that a graph answers."""

import numpy as np

from serving.jit import kernel


@kernel
def all_finite(values):
    """Whether all of float32[k] are numbers."""
    found = True
    for i in range(values.shape[0]):
        found &= np.isfinite(values[i])
    return found
