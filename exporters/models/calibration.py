"""Probabilities that mean what they say: parameters fitted on rows the model has not seen.

They are the likeliest ones under a prior that trusts the scores as they are: on a few dozen rows hardly anything moves,
on thousands the prior is not felt.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
PRIOR = 10.0
"""How many rows' worth of doubt a change of one parameter by one has to overcome."""


def softmax(z: Scores) -> Scores:
    """float64[n, C] -> float64[n, C], rows sum to 1."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def sigmoid(z: Scores) -> Scores:
    """1 / (1 + exp(-z)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))


def vector_scaling(scores: Scores, target: NDArray[np.int64]) -> tuple[float, NDArray[np.float32]]:
    """Slope and shift float32[C] of softmax(slope * scores + shift); the shifts sum to 0. scores: float64[n, C].

    One slope for all classes and a shift for each (Guo et al. 2017, "On calibration of modern neural networks").
    """
    from scipy.optimize import minimize

    n, classes = scores.shape

    def loss(theta: Scores) -> tuple[float, Scores]:
        p = softmax(theta[0] * scores + theta[1:])
        wrong = p.copy()
        wrong[np.arange(n), target] -= 1.0
        gradient = np.concatenate([[(wrong * scores).sum()], wrong.sum(axis=0)])
        likelihood = -float(np.log(np.maximum(p[np.arange(n), target], 1e-300)).sum())
        return _with_prior(likelihood, gradient, theta, start, n)

    start = np.concatenate([[1.0], np.zeros(classes)])

    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return float(np.float32(found[0])), (found[1:] - found[1:].mean()).astype(np.float32)


def logistic_stack(scores: Scores, event: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Weights float32[K + 1] of sigmoid(scores @ w[:K] + w[K]), none of the first K below 0. scores: float64[n, K].

    With one column this is Platt's scaling; with several it is stacking (Wolpert 1992).
    """
    from scipy.optimize import minimize

    columns = np.column_stack([scores, np.ones(len(scores))])

    def loss(w: Scores) -> tuple[float, Scores]:
        z = columns @ w
        gradient = (sigmoid(z) - event) @ columns
        return _with_prior(float((np.logaddexp(0.0, z) - event * z).sum()), gradient, w, start, len(z))

    k = scores.shape[1]
    start = np.concatenate([np.full(k, 1.0 / k), [0.0]])
    bounds = [(0.0, None)] * k + [(None, None)]
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x, np.float32)


def _with_prior(
    likelihood: float, gradient: Scores, parameters: Scores, trusted: Scores, rows: int
) -> tuple[float, Scores]:
    """Loss a row and its gradient, a normal prior around the trusted parameters included."""
    away = parameters - trusted
    return (likelihood + PRIOR * float(away @ away) / 2) / rows, (gradient + PRIOR * away) / rows
