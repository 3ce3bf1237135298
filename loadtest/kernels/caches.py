"""The table of predictions beside cachetools and a dict, all keyed by the row: hits, and rows that are new."""

import time
import tracemalloc
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache, TTLCache
from numpy.typing import NDArray

from loadtest.backends.cache import Rows
from loadtest.kernels.case import Case, DifferentError, over
from loadtest.published import MODEL, newest_version
from serving.cache.layout import OutputLayout
from serving.cache.row_keys import RowKeys
from serving.cache.table import Table
from serving.contract import Contract
from serving.hash_key import HashKey

COUNTED = "the row and its slot read, key and value written (a new row: its slot written)"
ROWS = (1, 64, 1024)
ENTRIES = 1 << 15
"""Of each cache; twice as many rows are put in, in turn, so that every new one has to make another one leave."""
KNOWN = 2048
"""Rows that are asked for again and again."""
TTL = 3600.0
OURS, LRU, TIMED, DICT = "the gateway's table", "cachetools.LRUCache", "cachetools.TTLCache", "dict (without a bound)"
_KEY = 16

Known = MutableMapping[bytes, bytes]
Bytes = NDArray[np.uint8]


class Caches:
    """The same rows in all of them. rows: float32[2 * ENTRIES, F]; values: uint8[2 * ENTRIES, W]."""

    def __init__(self, repository: Path) -> None:
        folder = newest_version(repository / MODEL)
        contract = Contract.load(folder / "contract.json")
        (tensor,) = contract.tensors
        self.input = tensor.name
        self.rows = Rows(folder, contract, 1).draw(2 * ENTRIES)[self.input]
        width = OutputLayout(contract.graph_outputs()).width
        self.values = np.random.default_rng(1).integers(0, 256, (len(self.rows), width), np.uint8)
        self.keys = RowKeys(HashKey(bytes(16)), "", (self.input,))
        self.table = Table(Table.bytes_for(ENTRIES, width), width)
        self.others = others()
        for X, values in self._sets(1024, len(self.rows)):
            self._put_everywhere(X, values)

    def cases(self) -> Iterator[Case]:
        """Raises DifferentError."""
        row, value = self.rows[0].nbytes, self.values.shape[1]
        slot = self.table.bytes // self.table.slots
        for rows in ROWS:
            new = self._sets(rows, len(self.rows))
            ways = {OURS: over(lambda one: self.put(*one), new)}
            ways |= {name: over(lambda one, known=known: keep(known, *one), new) for name, known in self.others.items()}
            yield Case("cache", "new rows", rows, ways, rows * (row + slot + _KEY))
        for rows in ROWS:
            some = self._sets(rows, KNOWN)
            for X, values in some:
                self._put_everywhere(X, values)
            self.check(some)
            asked = [X for X, _ in some]
            hits = {OURS: over(self.look_up, asked)}
            hits |= {name: over(lambda X, known=known: find(known, X), asked) for name, known in self.others.items()}
            yield Case("cache", "known rows", rows, hits, rows * (row + slot + _KEY + value))

    def look_up(self, X: NDArray[np.float32]) -> Bytes:
        """uint8[n, W]. Raises DifferentError for a row that is not there."""
        found = self.table.look_up(self.keys, {self.input: X}, time.monotonic())
        if found.missing:
            raise DifferentError("the table has forgotten a row that was put into it a moment ago")
        return found.values

    def put(self, X: NDArray[np.float32], values: Bytes) -> None:
        """Keep the values of n rows."""
        now = time.monotonic()
        self.table.put(self.keys({self.input: X}), values, np.full(len(X), now + TTL), now)

    def check(self, sets: list[tuple[NDArray[np.float32], Bytes]]) -> None:
        """All give what was put in. Raises DifferentError."""
        finders: dict[str, Callable[[Any], Bytes]] = {OURS: self.look_up}
        finders |= {name: lambda X, known=known: find(known, X) for name, known in self.others.items()}
        for name, finder in finders.items():
            if any(not np.array_equal(finder(X), values) for X, values in sets):
                raise DifferentError(f"{name}: another value than was put in")

    def memory(self, entries: int = 20_000) -> dict[str, float]:
        """Bytes an entry: of the table by its arrays, of the others by what Python allocates for so many."""
        taken = {OURS: self.table.bytes / self.table.slots}
        for name, known in others(entries).items():
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for at in range(0, entries, 1024):
                keep(known, self.rows[at : min(at + 1024, entries)], self.values[at : min(at + 1024, entries)])
            taken[name] = (tracemalloc.get_traced_memory()[0] - before) / len(known)
            tracemalloc.stop()
        return taken

    def _put_everywhere(self, X: NDArray[np.float32], values: Bytes) -> None:
        self.put(X, values)
        for known in self.others.values():
            keep(known, X, values)

    def _sets(self, rows: int, count: int) -> list[tuple[NDArray[np.float32], Bytes]]:
        return [(self.rows[at : at + rows], self.values[at : at + rows]) for at in range(0, count - rows + 1, rows)]


def others(entries: int = ENTRIES) -> dict[str, Known]:
    """What else a row's value can be kept in."""
    return {LRU: LRUCache(entries), TIMED: TTLCache(entries, TTL), DICT: {}}


def row_bytes(X: NDArray[np.float32]) -> list[bytes]:
    """Each row as bytes, cut out of one copy."""
    raw, size = X.tobytes(), X[0].nbytes
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def keep(known: Known, X: NDArray[np.float32], values: Bytes) -> None:
    """Put n rows into a mapping."""
    raw, width = values.tobytes(), values.shape[1]
    for number, key in enumerate(row_bytes(X)):
        known[key] = raw[number * width : (number + 1) * width]


def find(known: Known, X: NDArray[np.float32]) -> Bytes:
    """uint8[n, W] of n rows in a mapping."""
    return np.frombuffer(b"".join([known[key] for key in row_bytes(X)]), np.uint8).reshape(len(X), -1)
