"""The table of operations that a feature program may use, each with its reference in plain NumPy.

The compiled counterparts stand in `kernels.py` under the same codes; a property test holds them to each other.
Values are float64; NaN is a missing value; a category is its code, `len(categories)` for an unknown one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Operation:
    """One operation: its code in the compiled program, how many inputs and parameters it takes, and what it means."""

    code: int
    inputs: int
    params: tuple[str, ...]
    meaning: str
    reference: Callable[..., Any]
    """Inputs float64[n] each, then the parameters -> float64[n]."""


OPERATIONS: dict[str, Operation] = {
    "impute": Operation(
        0, 1, ("value",), "x, or `value` where x is missing", lambda x, value: np.where(np.isnan(x), value, x)
    ),
    "clip": Operation(
        1,
        1,
        ("low", "high"),
        "x held between `low` and `high`; missing stays missing",
        lambda x, low, high: np.where(x < low, low, np.where(x > high, high, x)),
    ),
    "scale": Operation(
        2,
        1,
        ("center", "width"),
        "(x - `center`) / `width`; missing stays missing",
        lambda x, center, width: (x - center) / width,
    ),
    "one_hot": Operation(
        3,
        1,
        ("code",),
        "1 where x is the category `code`, else 0, also where x is missing",
        lambda x, code: (x == code) * 1.0,
    ),
    "missing_flag": Operation(4, 1, (), "1 where x is missing, else 0", lambda x: np.isnan(x) * 1.0),
}
