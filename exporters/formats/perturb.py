"""Rows to test an export with: held-out ones as they are, and with missing values, extremes, unseen categories."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells
from serving.contract import Contract, HistoryInput, NumberInput

UNSEEN = "never seen in training"
_MISSING, _EXTREME = 0.15, 0.10  # shares of the cells of a perturbed row
_SHORTER = 0.25  # share of the perturbed rows whose histories begin later
_FAR = 10.0  # widths of what was seen, where nothing physical bounds a column

Mask = NDArray[np.bool_]


def perturbed(contract: Contract, columns: Mapping[str, Cells], rows: int, seed: int) -> dict[str, Cells]:
    """`rows` rows drawn from `columns` (n held-out rows): every second one as it is, the others perturbed.

    Of perturbed histories single months are lost or extreme, some are lost whole, and some rows begin later: their
    first months are missing in every history. Every 64th row keeps nothing but what is required. All of them are rows
    that the gateway accepts.
    """
    rng = np.random.default_rng(seed)
    n = len(next(iter(columns.values())))
    drawn = np.concatenate([rng.permutation(n) for _ in range(-(-rows // n))])[:rows]
    touched = np.arange(rows) % 2 == 1
    bare = np.arange(rows) % 64 == 63
    before = _before_the_first_month(rng, touched, contract.months) if contract.months else touched[:, None]
    out = {}
    for raw in contract.inputs:
        cells = columns[raw.name][drawn]
        if isinstance(raw, HistoryInput):
            out[raw.name] = _history(raw, cells, touched, bare, before, rng)
            continue
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


def _before_the_first_month(rng: np.random.Generator, touched: Mask, months: int) -> Mask:
    """bool[n, T]: months that a row is to lose because its histories begin later; the newest is never among them."""
    later = touched & (rng.random(len(touched)) < _SHORTER)
    begins = np.where(later, rng.integers(0, months, len(touched)), 0)
    return np.arange(months) < begins[:, None]


def _history(
    raw: HistoryInput, cells: NDArray[np.float64], touched: Mask, bare: Mask, before: Mask, rng: np.random.Generator
) -> NDArray[np.float64]:
    """cells: float64[n, T], which is changed; touched, bare: bool[n]; before: bool[n, T]."""
    some = touched[:, None]
    extreme = some & (rng.random(cells.shape) < _EXTREME) & ~np.isnan(cells)
    cells[extreme] = rng.choice(_extremes(raw), extreme.sum())
    months, whole = (some & (rng.random(shape) < _MISSING) for shape in (cells.shape, (len(cells), 1)))
    lost = before | months | whole | bare[:, None]
    if raw.required:  # one month at least has to stay
        lost &= ~(lost | np.isnan(cells)).all(axis=1, keepdims=True)
    cells[lost] = np.nan
    return cells


def _extremes(raw: NumberInput | HistoryInput) -> NDArray[np.float64]:
    """The ends of what is possible and the ends of what was seen."""
    seen_low, seen_high = raw.seen or (0.0, 1.0)
    far = _FAR * max(seen_high - seen_low, 1.0)
    low = seen_low - far if raw.low is None else raw.low
    high = seen_high + far if raw.high is None else raw.high
    return np.array([low, seen_low, seen_high, high])
