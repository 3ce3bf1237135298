"""Stored records as the raw rows of one model."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.contract import CategoryInput, Contract, DateInput, HistoryInput, NumberInput, RawInput, TextInput
from serving.features.rows import RawRows
from serving.store.fetched import FOUND, Fetched

FINE, TEXT_FOR_NUMBER, NO_DATE, NOT_WHOLE, BROKEN = range(5)
CAME_AND_EXPECTED = {
    TEXT_FOR_NUMBER: ("a stored text", "a number"),
    NO_DATE: ("a stored text that is no date", "a date as in 2026-03-31, or days since 1970-01-01"),
    NOT_WHOLE: ("a stored number that is not whole", "a text, or a whole number"),
    BROKEN: ("a corrupt record", "a record"),
}
"""What `FactRows.wrong` means: what came, what was expected."""


@dataclass(frozen=True, slots=True, repr=False)
class FactRows:
    """What is stored of n entities, as far as a model reads it."""

    rows: RawRows
    as_of: NDArray[np.int64]
    """When each input was so, in ms since 1970-01-01; of a history its newest known month, and not later than that
    month's end; -1: nothing is stored.
    Shape [n, inputs], in the contract's order."""
    wrong: NDArray[np.uint8]
    """FINE, or what is wrong with the row: a stored fact is of a type that its input cannot take. Shape [n]."""
    wrong_input: NDArray[np.int32]
    """The first input of the row that is wrong, -1 if it is none in particular. Shape [n]."""


class RecordReader:
    """The inputs of a contract, prepared for finding them in records."""

    def __init__(self, contract: Contract) -> None:
        from serving.store import reader_kernels as kernels

        kinds: dict[type, int] = {
            NumberInput: kernels.NUMBERS,
            CategoryInput: kernels.CATEGORIES,
            TextInput: kernels.TEXTS,
            DateInput: kernels.DATES,
        }
        names = _Names()
        values: list[tuple[int, RawInput]] = []
        histories: list[tuple[int, RawInput]] = []
        for number, raw in enumerate(contract.inputs):
            (histories if isinstance(raw, HistoryInput) else values).append((number, raw))

        categories: list[tuple[int, ...]] = []
        inputs = []
        for column, (number, raw) in enumerate(values):
            codes = {name: code for code, name in enumerate(raw.categories)} if isinstance(raw, CategoryInput) else {}
            inputs.append((raw.name, (number, column, kinds[type(raw)], len(categories), len(codes))))
            categories += names.table((name, (code,)) for name, code in codes.items())
        self._inputs = _array(names.table(inputs), 7)
        self._histories = _array(
            names.table((raw.name, (number, column)) for column, (number, raw) in enumerate(histories)), 4
        )
        self._categories = _array(categories, 3)
        self._names = np.frombuffer(names.text, np.uint8)
        self._shape = (len(histories), contract.months)
        self._n_inputs = len(contract.inputs)

    @property
    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Names, inputs, histories and categories, as `reader_kernels.read_records` takes them."""
        return self._names, self._inputs, self._histories, self._categories

    def read(
        self, fetched: Fetched, replaced: NDArray[np.bool_] | None = None, present_month: int | None = None
    ) -> FactRows:
        """One row for each entity, all missing where no record was found.

        replaced: bool[inputs], those of which nothing stored counts. present_month: the last month of all histories, in
        months since January 1970; None: of each entity the newest month that is known of any of its monthly facts.
        """
        from serving.store import reader_kernels

        n = len(fetched.starts)
        rows = RawRows(np.empty((n, len(self._inputs))), np.empty((n, *self._shape)))
        as_of = np.empty((n, self._n_inputs), np.int64)
        wrong, wrong_input = np.empty(n, np.uint8), np.empty(n, np.int32)
        reader_kernels.read_records(
            fetched.buffer,
            fetched.starts,
            fetched.ends,
            fetched.state,
            FOUND,
            self._names,
            self._inputs,
            self._histories,
            self._categories,
            np.zeros(self._n_inputs, np.bool_) if replaced is None else replaced,
            reader_kernels.NEWEST if present_month is None else present_month,
            rows.values,
            rows.history,
            as_of,
            wrong,
            wrong_input,
        )
        return FactRows(rows, as_of, wrong, wrong_input)


class _Names:
    """Names behind each other, and tables of where they are."""

    def __init__(self) -> None:
        self.text = bytearray()

    def table(self, named: Iterable[tuple[str, tuple[int, ...]]]) -> list[tuple[int, ...]]:
        """Names in the order of their bytes: where each begins and ends, then what is said of it."""
        rows = []
        for name, more in sorted(named):
            start = len(self.text)
            self.text += name.encode()
            rows.append((start, len(self.text), *more))
        return rows


def _array(rows: list[tuple[int, ...]], columns: int) -> NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(-1, columns)
