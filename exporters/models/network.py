"""Wide and deep network over static features and months, as flat arrays: what both export formats are written from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class WideDeep:
    """O logits of F static features and T months of K values (Cheng et al. 2016, "Wide & deep learning").

    logits = features @ wide + wide_bias + relu(h @ hidden + hidden_bias) @ head, where h is the last state of an LSTM
    of H units (activation tanh, recurrent activation sigmoid) over the months, oldest first: the facts speak through
    the linear part, the months through the deep one.
    """

    wide: Weights
    """float32[F, O]: the logistic regression."""
    wide_bias: Weights
    """float32[O]."""
    kernel: Weights
    """float32[K, 4H], gates in Keras's order: input, forget, cell, output (ONNX: input, output, forget, cell)."""
    recurrent: Weights
    """float32[H, 4H], gates in the same order."""
    gates: Weights
    """float32[4H]: biases of the gates."""
    hidden: Weights
    """float32[H, D]."""
    hidden_bias: Weights
    """float32[D]."""
    head: Weights
    """float32[D, O]."""
