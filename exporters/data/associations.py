"""How much one column tells of another: measures of rank and of tables, 0 .. 1 (or 0.5 .. 1 for an area)."""

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells

Values = NDArray[np.float64]


def ranks(values: Values) -> Values:
    """Ranks from 1, the mean rank where values are equal: float64[n]. values: [n] without NaN."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(count.cumsum() - (count - 1) / 2)[place]


def binned(values: Cells, most: int = 50, least: int = 10) -> NDArray[np.int64]:
    """Positions int64[n] of categories, of values where they are few, else of equal masses; missing cells have theirs.

    most: bins at most; least: rows that a bin of equal mass has about at least.
    """
    names, place = np.unique(values, return_inverse=True)  # NaN is one name, the last
    if values.dtype.kind == "U" or len(names) <= most:
        return place
    known = np.sort(values[~np.isnan(values)])
    bins = int(np.clip(len(known) // least, 2, most))
    edges = np.unique(known[(np.arange(1, bins) * len(known)) // bins])
    return np.where(np.isnan(values), bins, np.searchsorted(edges, values, side="right"))


def auc(values: Values, truth: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of `values` as a score of `truth`; NaN where all are true or none."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return float("nan")
    return float((ranks(values)[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def rank_correlation(left: Values, right: Values) -> float:
    """Spearman's coefficient without its sign; 0 where one side is constant."""
    spread = ranks(left).std() * ranks(right).std()
    if not spread:
        return 0.0
    return abs(float(((ranks(left) - ranks(left).mean()) * (ranks(right) - ranks(right).mean())).mean() / spread))


def cramers_v(left: Cells, right: Cells) -> float:
    """Cramer's V of two categories, corrected for bias (Bergsma 2013): a category of its own for each row tells
    nothing."""
    rows, columns, counts = _crossed(left, right)
    n = len(left)
    if rows < 2 or columns < 2:
        return 0.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / n
    phi = float(((counts - expected) ** 2 / expected).sum() / n)
    corrected = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return min(1.0, float(np.sqrt(corrected / smaller))) if smaller > 0 else 0.0


def correlation_ratio(category: Cells, values: Values) -> float:
    """How much of the ranks of `values` the category explains: the square root of the adjusted share of variance."""
    names, place = np.unique(category, return_inverse=True)
    n, k = len(values), len(names)
    ranked = ranks(values)
    total = float(((ranked - ranked.mean()) ** 2).sum())
    if n <= k or not total:
        return 0.0
    means = np.bincount(place, ranked) / np.bincount(place)
    unexplained = float(((ranked - means[place]) ** 2).sum()) / total
    return float(np.sqrt(max(0.0, 1.0 - unexplained * (n - 1) / (n - k))))


def _crossed(left: Cells, right: Cells) -> tuple[int, int, Values]:
    """Number of categories of each side, and how often they meet: float64[rows, columns]."""
    left_names, left_place = np.unique(left, return_inverse=True)
    right_names, right_place = np.unique(right, return_inverse=True)
    rows, columns = len(left_names), len(right_names)
    cells = np.bincount(left_place * columns + right_place, minlength=rows * columns)
    return rows, columns, cells.reshape(rows, columns).astype(np.float64)
