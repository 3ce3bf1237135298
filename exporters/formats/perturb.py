"""Rows to test an export with: held-out ones as they are, and with missing values, extremes, unseen categories."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells
from serving.contract import Contract, NumberInput

UNSEEN = "never seen in training"
_MISSING, _EXTREME = 0.15, 0.10  # shares of the cells of a perturbed row
_FAR = 10.0  # widths of what was seen, where nothing physical bounds a column


def perturbed(contract: Contract, columns: Mapping[str, Cells], rows: int, seed: int) -> dict[str, Cells]:
    """`rows` rows drawn from `columns` (n held-out rows): every second one as it is, the others perturbed.

    Every 64th row keeps nothing but what is required. All of them are rows that the gateway accepts.
    """
    rng = np.random.default_rng(seed)
    n = len(next(iter(columns.values())))
    drawn = np.concatenate([rng.permutation(n) for _ in range(-(-rows // n))])[:rows]
    touched = np.arange(rows) % 2 == 1
    bare = np.arange(rows) % 64 == 63
    out = {}
    for raw in contract.inputs:
        cells = columns[raw.name][drawn]
        extreme = touched & (rng.random(rows) < _EXTREME)
        lost = (touched & (rng.random(rows) < _MISSING)) | bare
        if isinstance(raw, NumberInput):
            cells[extreme] = rng.choice(_extremes(raw), extreme.sum())
        else:
            cells = np.where(extreme, UNSEEN, cells)
        if not raw.required:
            cells[lost] = np.nan if isinstance(raw, NumberInput) else ""
        out[raw.name] = cells
    return out


def _extremes(raw: NumberInput) -> NDArray[np.float64]:
    """The ends of what is possible and the ends of what was seen."""
    seen_low, seen_high = raw.seen or (0.0, 1.0)
    far = _FAR * max(seen_high - seen_low, 1.0)
    low = seen_low - far if raw.low is None else raw.low
    high = seen_high + far if raw.high is None else raw.high
    return np.array([low, seen_low, seen_high, high])
