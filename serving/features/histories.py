"""Monthly histories, as any protocol brings them, become float64[n, K, T]: oldest month first, the present one last.

They come as one tensor `histories` [n, months, columns], columns in the contract's order, or each under its name,
[n, months]; `lengths` [n] says how many months of a row are given, which stand at its front. A JSON list may simply
have shorter rows. Months that a row does not have are missing at the front; of more months than the model reads, the
newest count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract import HISTORIES, LENGTHS, MOST_MONTHS
from serving.errors import InvalidInput
from serving.features.cells import Cells, numbers


@dataclass(frozen=True, slots=True)
class MonthlyCells:
    """A history with its own lengths. values: float64[n, m]; lengths: int64[n], how many at the front are given."""

    values: NDArray[np.float64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)


class HistorySchema:
    """The histories of a contract, in its order."""

    def __init__(self, names: Sequence[str], months: int) -> None:
        self.names = {name: number for number, name in enumerate(names)}
        self.months = months

    def takes(self, name: str) -> bool:
        """Whether an input of this name belongs here."""
        return name in self.names or (bool(self.names) and name in (HISTORIES, LENGTHS))

    def assemble(self, columns: Mapping[str, Any], n: int) -> NDArray[np.float64]:
        """Put histories together: float64[n, K, T]. Raises InvalidInput."""
        out = np.full((n, len(self.names), self.months), np.nan)
        given = _lengths(columns[LENGTHS], n) if LENGTHS in columns else None
        for name, cells in columns.items():
            if name == HISTORIES:
                self._all(cells, given, out, columns)
            elif name != LENGTHS:
                self._fill(name, cells, given, out[:, self.names[name]])
        if given is not None and len(columns) == 1:
            raise InvalidInput.cell(LENGTHS, "lengths of nothing", f"{HISTORIES}, or histories by name, beside it")
        return out

    def _all(self, cells: Any, given: NDArray[np.int64] | None, out: NDArray[np.float64], sent: Any) -> None:
        twice = next((name for name in self.names if name in sent), None)
        if twice is not None:
            raise InvalidInput.cell(twice, f"a history that {HISTORIES} holds already", "each once")
        k = len(self.names)
        expected = f"[n, months, {k}] with {', '.join(self.names)}"
        if isinstance(cells, list):
            cells = [[] if months is None else months for months in cells]
            for row, months in enumerate(cells):
                if not isinstance(months, list) or not all(isinstance(m, list) and len(m) == k for m in months):
                    raise InvalidInput.cell(HISTORIES, f"no list of months with {k} values in row {row}", expected)
            for number, name in enumerate(self.names):
                self._fill(name, [[month[number] for month in months] for months in cells], given, out[:, number])
            return
        values = np.asarray(cells)
        if values.ndim != 3 or values.shape[2] != k:
            raise InvalidInput.cell(HISTORIES, f"shape {list(values.shape)}", expected)
        _place(HISTORIES, values.transpose(0, 2, 1), given, out)

    def _fill(self, name: str, cells: Any, given: NDArray[np.int64] | None, out: NDArray[np.float64]) -> None:
        """One history into out: float64[n, T]."""
        if isinstance(cells, MonthlyCells):
            if given is not None:
                raise InvalidInput.cell(LENGTHS, "lengths beside a history that has its own", "one of them")
            _place(name, cells.values, cells.lengths, out)
        elif isinstance(cells, list):
            for row, months in enumerate(cells):
                months = [] if months is None else months
                if not isinstance(months, list) or len(months) > MOST_MONTHS:
                    came = f"{len(months)} months" if isinstance(months, list) else "no list"
                    raise InvalidInput.cell(name, f"{came} in row {row}", f"a list of up to {MOST_MONTHS} months")
                length = None if given is None else given[row : row + 1]
                try:
                    values = np.array([numbers(name, months)], np.float64)
                except InvalidInput as error:
                    raise InvalidInput(f"{error.message}, of row {row}", field=name) from None
                _place(name, values, length, out[row : row + 1])
        else:
            values = np.asarray(cells)
            if values.ndim != 2:
                raise InvalidInput.cell(name, f"shape {list(values.shape)}", "[n, months]: it is a history")
            _place(name, values, given, out)


def _lengths(cells: Cells | MonthlyCells, n: int) -> NDArray[np.int64]:
    if isinstance(cells, MonthlyCells):
        raise InvalidInput.cell(LENGTHS, "a history", "one whole number a row")
    values = np.asarray(numbers(LENGTHS, cells), np.float64)
    if values.shape not in ((n,), (n, 1)) or not (values == np.floor(values)).all():
        raise InvalidInput.cell(
            LENGTHS, f"shape {list(values.shape)}, or what is no whole number", f"{n} whole numbers"
        )
    return np.clip(values, -1, MOST_MONTHS + 1).astype(np.int64).reshape(n)


def _place(name: str, values: Any, given: NDArray[np.int64] | None, out: NDArray[np.float64]) -> None:
    """values: [n, ..., m], the newest given months at the end of out: float64[n, ..., T]. Raises InvalidInput."""
    m, months = values.shape[-1], out.shape[-1]
    if m > MOST_MONTHS:
        raise InvalidInput.cell(name, f"{m} months", f"at most {MOST_MONTHS}")
    if given is None:
        kept = min(m, months)
        out[..., months - kept :] = values[..., m - kept :]
        return
    if len(given) != len(values) or (given < 0).any() or (given > m).any():
        came = next((int(length) for length in given if not 0 <= length <= m), None)
        raise InvalidInput.cell(name, f"a length of {came}" if came is not None else "lengths", f"0 to {m} a row")
    for length in np.unique(given):
        rows, kept = given == length, min(int(length), months)
        out[rows, ..., months - kept :] = values[rows, ..., int(length) - kept : int(length)]
