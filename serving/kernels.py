"""Compiled pieces of the answer."""

from serving.jit import kernel


@kernel
def top_margins(probabilities, out):
    """How far the best class is ahead of the second. probabilities: float32[n, C], C > 1; out: float32[n], written."""
    for i in range(probabilities.shape[0]):
        best = probabilities[i, 0]
        second = probabilities[i, 1]
        if second > best:
            best, second = second, best
        for c in range(2, probabilities.shape[1]):
            p = probabilities[i, c]
            if p > best:
                best, second = p, best
            elif p > second:
                second = p
        out[i] = best - second
