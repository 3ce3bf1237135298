"""The table of operations that a feature program may use.

A new operation is one kernel in `operation_kernels.py`, one reference in `references.py`, and one line here; `make
operations` then writes `dispatch_kernels.py` and `docs/feature-operations.md` from this table. Codes never change
meaning: contracts name operations, compiled programs number them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving.features import references

NUMBER, CATEGORY, TEXT, DATE, MONTHLY = "number", "category", "text", "date", "monthly"
SAME = "as its input"


@dataclass(frozen=True)
class Operation:
    """One operation."""

    takes: tuple[str, ...]
    """Kinds of values that it reads. One that reads numbers works on the months of a history one by one, too."""
    inputs: int
    params: tuple[str, ...]
    """A name with a star stands for any number of parameters, at least one."""
    gives: str
    meaning: str
    reference: Callable[..., Any]
    """Inputs, then the parameters (those under a star as one tuple) -> values. Of a history float64[n, months]."""

    @property
    def of_history(self) -> bool:
        """Whether it makes one number of all months."""
        return self.takes == (MONTHLY,)


def _plain(inputs: int, params: tuple[str, ...], gives: str, meaning: str, reference: Callable[..., Any]) -> Operation:
    return Operation((NUMBER, DATE, MONTHLY), inputs, params, gives, meaning, reference)


def _of(kind: str, params: tuple[str, ...], meaning: str, reference: Callable[..., Any]) -> Operation:
    return Operation((kind,), 1, params, NUMBER, meaning, reference)


ANY = (NUMBER, CATEGORY, TEXT, DATE, MONTHLY)
r = references
OPERATIONS: dict[str, Operation] = {
    "impute": Operation(
        (NUMBER, DATE, CATEGORY, MONTHLY), 1, ("value",), SAME, "x, or `value` where x is missing", r.impute
    ),
    "clip": _plain(1, ("low", "high"), SAME, "x held between `low` and `high`; missing stays missing", r.clip),
    "scale": _plain(1, ("center", "width"), NUMBER, "(x - `center`) / `width`; missing stays missing", r.scale),
    "one_hot": Operation(
        (CATEGORY, NUMBER), 1, ("code",), NUMBER, "1 where x is the category or bucket `code`, else 0", r.one_hot
    ),
    "missing_flag": Operation(ANY, 1, (), NUMBER, "1 where x is missing, else 0", r.missing_flag),
    "log": _plain(1, ("shift",), NUMBER, "natural logarithm of x + `shift`; missing where that is not positive", r.log),
    "ratio": _plain(2, (), NUMBER, "first / second; missing where the second is 0", r.ratio),
    "difference": _plain(2, (), NUMBER, "first - second; of two dates in days", r.difference),
    "bucket": _plain(1, ("*edges",), NUMBER, "how many of the ascending `edges` are not above x", r.bucket),
    "ordinal": _of(
        CATEGORY, ("*ranks",), "`ranks` of the category, the last for unknown ones; missing stays missing", r.ordinal
    ),
    "target_encode": _of(
        CATEGORY, ("*values", "unknown", "missing"), "`values` of the category, as training found them", r.target_encode
    ),
    "hash_bucket": _of(
        TEXT, ("buckets", "seed"), "a bucket from 0 to `buckets` - 1 by hash; missing stays missing", r.hash_bucket
    ),
    "year": _of(DATE, (), "calendar year", r.year),
    "quarter": _of(DATE, (), "1 to 4", r.quarter),
    "month": _of(DATE, (), "1 to 12", r.month),
    "day": _of(DATE, (), "1 to 31", r.day),
    "weekday": _of(DATE, (), "Monday 0 to Sunday 6", r.weekday),
    "day_of_year": _of(DATE, (), "1 to 366", r.day_of_year),
    "last": _of(MONTHLY, (), "the newest given value", r.last),
    "mean": _of(MONTHLY, ("months",), "mean of the given ones of the newest `months` months", r.mean),
    "sum": _of(MONTHLY, ("months",), "sum of the given ones; missing when none is", r.sum_),
    "slope": _of(
        MONTHLY, ("months",), "least-squares slope a month over the given ones; missing below two of them", r.slope
    ),
    "std": _of(MONTHLY, ("months",), "standard deviation of the given ones, divided by their number", r.std),
    "min": _of(MONTHLY, ("months",), "smallest given value", r.min_),
    "max": _of(MONTHLY, ("months",), "largest given value", r.max_),
    "ewm": _of(
        MONTHLY, ("months", "decay"), "mean of the given ones, each month weighing `decay` times the next one", r.ewm
    ),
    "longest_run": _of(
        MONTHLY, ("months", "bound"), "longest run of months above `bound`; a missing month ends it", r.longest_run
    ),
    "months_since": _of(
        MONTHLY, ("bound",), "months since it was last above `bound`, 0: this month; missing: never", r.months_since
    ),
    "yearly_change": _of(MONTHLY, (), "this month against the same month last year", r.yearly_change),
}
CODES = {name: code for code, name in enumerate(OPERATIONS)}
