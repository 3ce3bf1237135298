"""Raw rows: named columns from any protocol become one float64 matrix, checked against the contract.

float64[n, columns] in the contract's order; NaN is missing; a category is its code, `len(categories)` if unknown.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract import CategoryInput, Contract, NumberInput
from serving.errors import InvalidInput, one_of

Cells = NDArray[Any] | Sequence[Any]
"""The n cells of one column. A list may hold anything and is looked at cell by cell: texts (str, bytes), numbers, None;
an empty text and None are missing. Every other sequence holds numbers only, of any type; NaN is missing."""
_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Inspection:
    """What is known of raw rows after they were checked. coverage: float32[n]; marks: uint8[n, columns], or None."""

    coverage: NDArray[np.float32]
    marks: NDArray[np.uint8] | None


class RowSchema:
    """The raw inputs of a contract, prepared for assembling and checking rows."""

    def __init__(self, contract: Contract) -> None:
        self.inputs = contract.inputs
        self.numbers = {raw.name: number for number, raw in enumerate(contract.inputs)}
        self._codes: list[dict[str | bytes, float] | None] = [_codes(raw) for raw in contract.inputs]
        self._bounds = np.array([_bounds(raw) for raw in contract.inputs]).T.copy()
        self._required = np.array([raw.required for raw in contract.inputs])
        weights = np.array([raw.weight for raw in contract.inputs])
        self._weights = weights / weights.sum()

    def assemble(self, columns: Mapping[str, Cells], max_rows: int) -> NDArray[np.float64]:
        """Put columns together. Raises InvalidInput for unknown names, wrong types, lengths and sizes."""
        if not columns:
            raise InvalidInput("no inputs: send columns by name, or the model's own input tensors")
        n = len(next(iter(columns.values())))
        if n == 0:
            raise InvalidInput.cell(next(iter(columns)), "0 rows", "at least 1")
        if n > max_rows:
            raise InvalidInput.cell(next(iter(columns)), f"{n} rows", f"at most {max_rows} in one call")
        raw = np.full((n, len(self.inputs)), np.nan)
        for name, cells in columns.items():
            number = self.numbers.get(name)
            if number is None:
                raise self.unknown(name)
            if len(cells) != n:
                raise InvalidInput.cell(name, f"{len(cells)} rows", f"{n}, as in the other columns")
            codes = self._codes[number]
            if n == 1 and codes is None and type(cells) is not list:
                raw[0, number] = cells[0]  # the commonest call, six times faster than assigning a column
            elif type(cells) is list:
                raw[:, number] = _values(name, cells, codes)
            else:
                raw[:, number] = (
                    cells if codes is None else _known_codes(np.asarray(cells, np.float64), len(codes) // 2)
                )
        return raw

    def unknown(self, name: str) -> InvalidInput:
        """The refusal of a column that the contract does not know."""
        return InvalidInput.cell(name, "an unknown column", one_of(self.numbers))

    def inspect(self, raw: NDArray[np.float64]) -> Inspection:
        """Check values and measure coverage. Raises InvalidInput at the first value that cannot be."""
        from serving.features import kernels

        coverage = np.empty(raw.shape[0], np.float32)
        marks = np.empty(raw.shape, np.uint8)
        wrong, row, column, marked = kernels.inspect_rows(
            raw, self._bounds, self._required, self._weights, coverage, marks
        )
        if wrong != kernels.FINE:
            raise self._refusal(wrong, row, self.inputs[column], raw[row, column])
        return Inspection(coverage, marks if marked else None)

    def _refusal(self, wrong: int, row: int, column: NumberInput | CategoryInput, value: float) -> InvalidInput:
        from serving.features import kernels

        if wrong == kernels.MISSING:
            return InvalidInput.cell(column.name, f"no value in row {row}", "a value: this column is required")
        if wrong == kernels.INFINITE or isinstance(column, CategoryInput):
            return InvalidInput.cell(column.name, f"{value:g} in row {row}", "a finite number")
        low, high = (-np.inf if column.low is None else column.low), (np.inf if column.high is None else column.high)
        return InvalidInput.cell(column.name, f"{value:g} in row {row}", f"{low:g} to {high:g} {column.unit}")


def _codes(raw: NumberInput | CategoryInput) -> dict[str | bytes, float] | None:
    """Category names, as text and as UTF-8 bytes, to codes."""
    if isinstance(raw, NumberInput):
        return None
    names = enumerate(raw.categories)
    return {key: float(code) for code, name in names for key in (name, name.encode())}


def _bounds(raw: NumberInput | CategoryInput) -> tuple[float, float, float, float]:
    """Physical low and high, then low and high seen in training."""
    if isinstance(raw, CategoryInput):
        return 0.0, float(len(raw.categories)), 0.0, len(raw.categories) - 1.0
    low = -np.inf if raw.low is None else raw.low
    high = np.inf if raw.high is None else raw.high
    return (low, high, *(raw.seen or (low, high)))


def _known_codes(given: Any, unknown: int) -> NDArray[np.float64]:
    """Categories may be sent as codes: what is no code of a known category is unknown."""
    known = (given >= 0) & (given < unknown) & (given == np.floor(given))
    return np.where(known | ~np.isfinite(given), given, unknown)  # infinity is refused like everywhere else


def _values(name: str, cells: list[Any], codes: dict[str | bytes, float] | None) -> list[float]:
    """Cells of any type, one by one; `codes` of the column's categories, None for a number column."""
    values = []
    for row, cell in enumerate(cells):
        if cell is None or cell == "" or cell == b"":
            values.append(np.nan)
        elif isinstance(cell, str | bytes):
            if codes is None:
                text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell
                raise InvalidInput.cell(name, f"the text {text[:40]!r} in row {row}", "a number")
            values.append(codes.get(cell, len(codes) / 2))
        elif type(cell) in (int, float) and not abs(cell) > _LARGEST:  # NaN passes: it is missing
            values.append(float(cell) if codes is None else float(_known_codes(np.float64(cell), len(codes) // 2)))
        else:
            came = "a number that is not finite" if type(cell) in (int, float) else f"a {type(cell).__name__}"
            raise InvalidInput.cell(name, f"{came} in row {row}", "a finite number" if codes is None else "a text")
    return values
