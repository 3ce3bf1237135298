"""Random raw rows that a model's contract allows: numbers as training saw them, known categories, few cells missing."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from serving.contract import Contract, HistoryInput, NumberInput

Columns = Mapping[str, NDArray[np.float64] | list[str]]
"""Columns by name, each n long: numbers as float64[n] with NaN where missing, categories as n names with "" there."""

MISSING_SHARE = 0.02


def draw_rows(contract: Contract, n: int, seed: int, missing: float = MISSING_SHARE) -> Columns:
    """n rows; the same seed gives the same rows. `missing` is the share of empty cells in columns that may have them.

    Numbers are exact in float32, so that every protocol and type carries the same value. Histories are left out.
    """
    random = np.random.default_rng(seed)
    columns: dict[str, NDArray[np.float64] | list[str]] = {}
    for raw in contract.inputs:
        if isinstance(raw, HistoryInput):
            continue
        empty = (random.random(n) < missing) & (not raw.required)
        if isinstance(raw, NumberInput):
            columns[raw.name] = np.where(empty, np.nan, _numbers(raw, random, n))
        else:
            codes = random.integers(len(raw.categories), size=n)
            columns[raw.name] = ["" if gone else raw.categories[code] for code, gone in zip(codes, empty, strict=True)]
    return columns


def take(columns: Columns, start: int, stop: int) -> Columns:
    """Rows `start` to `stop` of every column."""
    return {name: cells[start:stop] for name, cells in columns.items()}


def _numbers(raw: NumberInput, random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Uniform within `seen`, or the physical bounds, or 0 to 1: float64[n]."""
    low, high = raw.seen or (raw.low if raw.low is not None else 0.0, raw.high if raw.high is not None else 1.0)
    drawn = random.uniform(low, high, n).astype(np.float32)
    up, down = np.nextafter(drawn, np.float32(np.inf)), np.nextafter(drawn, np.float32(-np.inf))
    exact = drawn.astype(np.float64)  # compared as float64: the bounds need not be exact in float32
    return np.where(exact < low, up, np.where(exact > high, down, exact))
