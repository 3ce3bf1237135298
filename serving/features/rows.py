"""Raw rows: named columns from any protocol become float64 arrays, checked against the contract."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract import (
    HISTORIES,
    CategoryInput,
    Contract,
    DateInput,
    HistoryInput,
    NumberInput,
    RawInput,
    TextInput,
)
from serving.errors import InvalidInput, PreconditionFailed, one_of
from serving.features.cells import Cells, reader
from serving.features.histories import HistorySchema, MonthlyCells

__all__ = ["Cells", "Inspection", "MonthlyCells", "RawRows", "RowSchema"]


@dataclass(frozen=True, slots=True)
class RawRows:
    """n rows as the program reads them; NaN is missing.

    values: float64[n, C], what is no history, in the contract's order: numbers, days since 1970-01-01, codes of
    categories (`len(categories)` is unknown) and texts; history: float64[n, K, T], the present month last; [n, 0, 0]
    without histories.
    """

    values: NDArray[np.float64]
    history: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(slots=True)
class Inspection:
    """What is known of raw rows after they were checked.

    coverage: float32[n]; marks: uint8[n, inputs], states of `row_kernels`; wrong: uint8[n], FINE or what is wrong with
    the row's first wrong value; where: int64[n, 2], the input of that value, and its month or -1.
    """

    coverage: NDArray[np.float32]
    marks: NDArray[np.uint8]
    wrong: NDArray[np.uint8]
    where: NDArray[np.int64]
    wrong_rows: int = 0
    """How many rows are wrong."""
    marked: int = 0
    """How many inputs bear a mark."""
    low: int = 0
    """How many rows are below the contract's coverage."""

    def count(self) -> NDArray[np.int64]:
        """How often each input bears each mark: int64[states, inputs]."""
        from serving.features import row_kernels

        counts = np.zeros((row_kernels.STATES, self.marks.shape[1]), np.int64)
        row_kernels.count_marks(self.marks, counts)
        return counts


class RowSchema:
    """The raw inputs of a contract, prepared for assembling and checking rows."""

    def __init__(self, contract: Contract) -> None:
        self.inputs = contract.inputs
        histories = [raw.name for raw in self.inputs if isinstance(raw, HistoryInput)]
        single = [raw for raw in self.inputs if not isinstance(raw, HistoryInput)]
        self.histories = HistorySchema(histories, contract.months)
        self.columns = {raw.name: number for number, raw in enumerate(single)}
        self.names = [raw.name for raw in self.inputs]
        """All that a caller may send by name, one by one."""
        self._readers = [reader(raw) for raw in single]
        self._plain = [isinstance(raw, NumberInput) for raw in single]
        numbers = {name: number for number, name in enumerate(self.names)}
        self.order = np.array([numbers[name] for name in (*self.columns, *histories)])
        """int64[C + K]: place among the contract's inputs of what stands in `RawRows`."""
        weights = np.array([raw.weight for raw in self.inputs])
        self.facts = np.array([_facts(raw) for raw in self.inputs]).T.copy()
        self.facts[4] = weights / weights.sum()
        ages = [np.inf if raw.max_age_days is None else raw.max_age_days for raw in self.inputs]
        self.min_coverage = float(contract.min_coverage)
        self.max_age = np.array(ages) * 86_400_000
        self.stale_is_error = np.array([raw.stale == "error" for raw in self.inputs])

    def takes(self, name: str) -> bool:
        """Whether a caller may send something of this name."""
        return name in self.columns or self.histories.takes(name)

    def is_given(self, name: str, columns: Mapping[str, object]) -> bool:
        """Whether an input is among the columns of a call."""
        return name in columns or (HISTORIES in columns and name in self.histories.names)

    def assemble(self, columns: Mapping[str, Cells | MonthlyCells], max_rows: int) -> RawRows:
        """Put columns together. Raises InvalidInput for unknown names, wrong types, lengths and sizes."""
        if not columns:
            raise InvalidInput("no inputs: send columns by name, or the model's own input tensors")
        n = len(next(iter(columns.values())))
        if n == 0:
            raise InvalidInput.cell(next(iter(columns)), "0 rows", "at least 1")
        if n > max_rows:
            raise InvalidInput.cell(next(iter(columns)), f"{n} rows", f"at most {max_rows} in one call")
        rows = RawRows(np.full((n, len(self.columns)), np.nan), self._no_history(n))
        return self.override(rows, columns)

    def override(self, rows: RawRows, columns: Mapping[str, Cells | MonthlyCells]) -> RawRows:
        """Rows whose columns are as given, those not given as they were. Writes into `rows`. Raises InvalidInput."""
        n, values = len(rows), rows.values
        monthly: dict[str, Any] = {}
        for name, cells in columns.items():
            if len(cells) != n:
                raise InvalidInput.cell(name, f"{len(cells)} rows", f"{n}, as in the other columns")
            number = self.columns.get(name)
            if number is None:
                if not self.histories.takes(name):
                    raise self.unknown(name)
                monthly[name] = cells
            elif n == 1 and self._plain[number] and not isinstance(cells, list | MonthlyCells):
                values[0, number] = cells[0]  # the commonest call, six times faster than assigning a column
            elif isinstance(cells, MonthlyCells):
                raise InvalidInput.cell(name, "a history", "one value a row")
            else:
                values[:, number] = self._readers[number](name, cells)
        if not monthly:
            return rows
        assembled = self.histories.assemble(monthly, n)
        for name, number in self.histories.names.items():
            if self.is_given(name, monthly):
                rows.history[:, number] = assembled[:, number]
        return rows

    def empty(self, n: int) -> dict[str, Cells]:
        """Columns of n rows in which everything is missing."""
        name = self.names[0]
        return {name: [[]] * n if name in self.histories.names else [None] * n}

    def unknown(self, name: str) -> InvalidInput:
        """The refusal of a column that the contract does not know."""
        return InvalidInput.cell(name, "an unknown column", one_of(self.names))

    def inspect(self, rows: RawRows) -> Inspection:
        """Check values and measure coverage."""
        from serving.features import row_kernels

        n, inputs = len(rows), len(self.inputs)
        found = Inspection(
            np.empty(n, np.float32), np.empty((n, inputs), np.uint8), np.empty(n, np.uint8), np.empty((n, 2), np.int64)
        )
        found.wrong_rows, found.marked, found.low = row_kernels.inspect_rows(
            rows.values,
            rows.history,
            self.order,
            self.facts,
            self.min_coverage,
            found.coverage,
            found.marks,
            found.wrong,
            found.where,
        )
        return found

    def mark_stale(self, inspection: Inspection, as_of: NDArray[np.int64], now: int) -> None:
        """Mark facts that are too old. as_of: int64[n, inputs], milliseconds, -1 for none; now: milliseconds."""
        from serving.features import row_kernels

        oldest = np.maximum(now - self.max_age, -1).astype(np.int64)
        wrong_rows, stale = row_kernels.mark_stale(
            as_of, oldest, self.stale_is_error, inspection.marks, inspection.wrong, inspection.where
        )
        inspection.wrong_rows += wrong_rows
        inspection.marked += stale

    def refuse_wrong(self, rows: RawRows, inspection: Inspection) -> None:
        """Raise InvalidInput for the first value that cannot be."""
        if inspection.wrong_rows:
            raise self.refusal(rows, inspection, int(np.flatnonzero(inspection.wrong)[0]))

    def refusal(self, rows: RawRows, inspection: Inspection, row: int) -> InvalidInput:
        """What is wrong with a row, for who sent its values."""
        from serving.features import row_kernels

        wrong, (number, month) = inspection.wrong[row], inspection.where[row]
        column = self.inputs[number]
        place = f"row {row}" if month < 0 else f"row {row}, month {month} of {self.histories.months}"
        if wrong == row_kernels.MISSING_REQUIRED:
            return InvalidInput.cell(column.name, f"no value in {place}", "a value: this column is required")
        at = int(np.flatnonzero(self.order == number)[0])
        value = rows.values[row, at] if month < 0 else rows.history[row, at - len(self.columns), month]
        if wrong == row_kernels.INFINITE or isinstance(column, CategoryInput | TextInput):
            return InvalidInput.cell(column.name, f"{value:g} in {place}", "a finite number")
        return InvalidInput.cell(column.name, f"{value:g} in {place}", _range(column))

    def stored_refusal(self, inspection: Inspection, row: int) -> PreconditionFailed:
        """What is wrong with a row that is stored: tells the column, and no value of anybody."""
        from serving.features import row_kernels

        column = self.inputs[inspection.where[row, 0]]
        reason = {
            row_kernels.MISSING_REQUIRED: "nothing is stored, and this column is required",
            row_kernels.TOO_OLD: f"what is stored is older than {column.max_age_days} days",
        }.get(int(inspection.wrong[row]), "what is stored is not a value that the model can take")
        return PreconditionFailed(f"{column.name}: {reason}", field=column.name)

    def _no_history(self, n: int) -> NDArray[np.float64]:
        return np.full((n, len(self.histories.names), self.histories.months), np.nan)


def _facts(raw: RawInput) -> tuple[float, ...]:
    """As `row_kernels.inspect_rows` takes them: bounds, seen, weight (set later), required, whether a category."""
    required = float(raw.required)
    if isinstance(raw, CategoryInput):
        return 0.0, float(len(raw.categories)), 0.0, len(raw.categories) - 1.0, 0.0, required, 1.0
    if isinstance(raw, TextInput):
        return 0.0, 2.0**53, 0.0, 2.0**53, 0.0, required, 0.0
    low = -np.inf if raw.low is None else raw.low
    high = np.inf if raw.high is None else raw.high
    least, most = raw.seen or (low, high)
    return low, high, least, most, 0.0, required, 0.0


def _range(column: NumberInput | DateInput | HistoryInput) -> str:
    low, high = (-np.inf if column.low is None else column.low), (np.inf if column.high is None else column.high)
    unit = "days since 1970-01-01" if isinstance(column, DateInput) else column.unit
    return f"{low:g} to {high:g} {unit}"
