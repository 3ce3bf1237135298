"""Feature programs: the gateway's kernel, a Numba function by hand, NumPy, pandas, scikit-learn, polars."""

from collections.abc import Iterator

import numpy as np

from loadtest.features.measure import (
    BY_HAND,
    GATEWAY,
    LIBRARIES,
    SAME_BELOW,
    SAME_SHARE,
    Work,
    calls,
    check_same,
    matrices,
    works,
)
from loadtest.kernels.case import Call, Case, DifferentError
from serving.features.program import run_reference
from serving.features.rows import RawRows

COUNTED = "the raw rows read (float64), the features written (float32)"
NUMPY = "NumPy, step by step"
SIZES = {"facts": (1, 64), "histories": (64, 1024)}
SETS = 8


def cases() -> Iterator[Case]:
    """Raises DifferentError of either kind."""
    for work in works():
        for rows in SIZES[work.name]:
            yield _case(work, rows)


def _case(work: Work, rows: int) -> Case:
    made = [calls(work, work.make(rows, seed)) for seed in range(SETS)]
    raw = [work.make(rows, seed) for seed in range(SETS)]
    check_same(made[0])
    expected = matrices(made[0][GATEWAY]())
    reference = [RawRows(one.values, one.history) for one in raw]
    for here, there in zip(expected, matrices(run_reference(work.contract, reference[0])), strict=True):
        if not np.allclose(here, there, rtol=SAME_SHARE, atol=SAME_BELOW, equal_nan=True):
            raise DifferentError(f"{work.name}: NumPy gives other features than the gateway for the same rows")
    ways: dict[str, Call] = {
        name: lambda number, name=name: made[number % SETS][name]() for name in (GATEWAY, BY_HAND, *LIBRARIES)
    }
    ways[NUMPY] = lambda number: run_reference(work.contract, reference[number % SETS])
    moved = raw[0].values.nbytes + raw[0].history.nbytes + sum(matrix.nbytes for matrix in expected)
    return Case("features", work.name, rows, ways, moved)
