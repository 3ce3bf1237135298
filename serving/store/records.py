"""The record of one entity: everything that is known of it in one short run of bytes.

Little-endian, nothing is aligned, names are in the order of their bytes:

     0  u8  version, 1
     1  u8  number of sources
     2  u16 number of stamps
     4  u16 number of facts
     6  u16 number of series
     8  u64 revision: random, another one with every write
    16  each source: u8 length, name
        each stamp, in order: i64 as_of (ms since 1970-01-01), u64 sequence, u8 number of its source
        each fact: u8 length, name, number of its stamp, u8 kind, payload: nothing (0: missing), f64 (1), u8 length and
            text (2)
        each series: u8 length, name, i16 first month (since January 1970), u8 number of months m, m numbers of stamps,
            u8 scale, m values: f64 each (scale 255), or i16 v for v / 10**scale, exactly, and -32768 for none
        u32 the low half of SipHash-2-4-64, with the key 0, of everything before

The number of a stamp is a u8 in a record of up to 255 stamps, else a u16; the largest one stands for a month of which
nothing is known. The first and the last month of a series are known. Only stamps and sources in use are there.
"""

import secrets
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract import MOST_MONTHS
from serving.errors import InvalidInput
from serving.store.facts import (
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_FACTS,
    MOST_SERIES,
    MOST_SOURCES,
    FactsEvent,
    Months,
    Stamp,
    StoredFacts,
    StoredSeries,
)

REVISION = slice(8, 16)
"""Where the revision stands in a record: two records with the same revision are the same."""
LARGEST = 1 << 16
"""Bytes of a record: more of one entity is refused, so that a batch of them can be read in bearable time."""

_HEAD = struct.Struct("<BBHHH8s")
_STAMP = struct.Struct("<qQB")
_FLOAT = struct.Struct("<d")
_NUMBER = struct.Struct("<BBd")
_SERIES = struct.Struct("<hB")
_EARLIEST, _LATEST = -(2**15), 2**15 - 1
_KIND_NUMBER, _KIND_TEXT, _SCALE_EXACT, _NOTHING = 1, 2, 255, -(2**15)


class CorruptRecord(ValueError):
    """Bytes that are no record, or not the record that was written."""

    def __init__(self) -> None:
        super().__init__("a stored record is corrupt")  # and nothing of what is in it


def merge(old: bytes | None, events: Sequence[FactsEvent], revision: bytes | None = None) -> bytes | None:
    """The record after events of one entity, or None if they change nothing.

    Of every fact and every month the greatest stamp counts, so that the order of events does not matter; an equal one
    changes nothing. A number that is NaN is a missing fact; NaN in a series says nothing. Of a series the 36 months up
    to its newest known one are kept.

    revision: 8 bytes, random ones unless given. Raises InvalidInput for what is longer or more than an entity may have,
    or would make its record too large, and CorruptRecord.
    """
    from serving.store import record_kernels as kernels

    before = record = np.frombuffer(bytearray(old or b""), np.uint8)
    number = np.uint64(int.from_bytes(revision or secrets.token_bytes(8), "little"))
    for event in events:
        status, merged = kernels.merge(record, np.frombuffer(bytearray(_state(event)), np.uint8), number)
        if status == kernels.CHANGED:
            record = merged
        elif status != kernels.SAME:
            raise _refusal(status)
    return None if record is before else bytes(record.tobytes())


def _refusal(status: int) -> InvalidInput | CorruptRecord:
    from serving.store import record_kernels as kernels

    if status == kernels.CORRUPT:
        return CorruptRecord()
    what, most = {
        kernels.TOO_MANY_FACTS: ("facts", MOST_FACTS),
        kernels.TOO_MANY_SERIES: ("monthly facts", MOST_SERIES),
        kernels.TOO_MANY_SOURCES: ("sources", MOST_SOURCES),
        kernels.TOO_LARGE: ("bytes", LARGEST),
    }[status]
    return _too_many(what, most)


def _too_many(what: str, most: int) -> InvalidInput:
    return InvalidInput(f"{what}: got more than {most} of one entity, expected at most {most}", field=what)


@lru_cache(maxsize=4096)
def _named(name: str) -> bytes:
    """A name as it stands in a record: its length, then its bytes."""
    encoded = name.encode()
    if len(encoded) > LONGEST_NAME:
        raise InvalidInput.cell("name", f"{len(encoded)} bytes", f"at most {LONGEST_NAME}")
    return bytes((len(encoded),)) + encoded


def _state(event: FactsEvent) -> bytes:
    """An event as a record without a checksum, all of one stamp."""
    facts, series, stamp = event.facts, event.series, event.stamp
    if len(facts) > MOST_FACTS:
        raise _too_many("facts", MOST_FACTS)
    if len(series) > MOST_SERIES:
        raise _too_many("monthly facts", MOST_SERIES)
    parts = [b"", _named(stamp.source), _STAMP.pack(stamp.as_of, stamp.sequence, 0)]
    for name in sorted(facts):  # by code points, which is the order of UTF-8 bytes
        value = facts[name]
        if isinstance(value, str):
            text = value.encode()
            if len(text) > LONGEST_TEXT:
                raise InvalidInput.cell(name, f"a text of {len(text)} bytes", f"at most {LONGEST_TEXT}")
            parts += (_named(name), bytes((0, _KIND_TEXT, len(text))), text)
        elif value is None or value != value:
            parts += (_named(name), b"\0\0")
        else:
            parts += (_named(name), _NUMBER.pack(0, _KIND_NUMBER, value))
    given = 0
    for name in sorted(series):
        first, values = series[name].first, series[name].values
        count = len(values)
        if count > MOST_MONTHS:
            raise InvalidInput.cell(name, f"{count} months", f"at most {MOST_MONTHS}")
        if not _EARLIEST <= first <= _LATEST - count:
            raise InvalidInput.cell(
                name, f"month {first}", f"{_EARLIEST} to {_LATEST - count} months since January 1970"
            )
        if count:
            parts += (_named(name), _SERIES.pack(first, count), bytes(count), b"\xff", values.astype("<f8").tobytes())
            given += 1
    parts[0] = _HEAD.pack(1, 1, 1, len(facts), given, b"")
    return b"".join(parts)


def find_corrupt(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], state: NDArray[np.uint8]
) -> int:
    """Look at records that were found and mark those that are corrupt (`fetched.CORRUPT`). Returns how many are."""
    from serving.store import fetched, record_kernels

    return int(record_kernels.find_corrupt(buffer, starts, ends, state, fetched.FOUND, fetched.CORRUPT))


def decode(record: bytes) -> StoredFacts:
    """Everything in a record. Raises CorruptRecord."""
    from serving.store import record_kernels as kernels

    data = np.frombuffer(bytearray(record), np.uint8)
    if not kernels.is_valid(data, 0, len(record), *kernels.tables()):
        raise CorruptRecord
    try:
        return _Reading(record).everything()
    except UnicodeDecodeError as error:
        raise CorruptRecord from error


class _Reading:
    """One pass over a valid record."""

    def __init__(self, record: bytes) -> None:
        self._record = record
        self._at = 0

    def everything(self) -> StoredFacts:
        _, n_sources, n_stamps, n_facts, n_series, _ = self._take(_HEAD)
        sources = [self._text() for _ in range(n_sources)]
        times = [self._take(_STAMP) for _ in range(n_stamps)]
        stamps = [Stamp(as_of, sequence, sources[source]) for as_of, sequence, source in times]
        number, nothing = ("B", 0xFF) if n_stamps <= 255 else ("H", 0xFFFF)
        fact = struct.Struct(f"<{number}B")
        facts: dict[str, tuple[float | str | None, Stamp]] = {}
        for _ in range(n_facts):
            name, (stamp, kind) = self._text(), self._take(fact)
            facts[name] = (self._value(kind), stamps[stamp])
        series = {}
        for _ in range(n_series):
            name, (first, months) = self._text(), self._take(_SERIES)
            *numbers, scale = self._take(struct.Struct(f"<{months}{number}B"))
            known = [None if stamp == nothing else stamps[stamp] for stamp in numbers]
            values = np.array(self._months(months, scale))
            values[[stamp is None for stamp in known]] = np.nan
            series[name] = StoredSeries(Months(first, values), tuple(known))
        return StoredFacts(facts, series)

    def _take(self, layout: struct.Struct) -> tuple[Any, ...]:
        self._at += layout.size
        return layout.unpack_from(self._record, self._at - layout.size)

    def _text(self) -> str:
        start = self._at + 1
        self._at = start + self._record[self._at]
        return self._record[start : self._at].decode()

    def _value(self, kind: int) -> float | str | None:
        if kind == _KIND_TEXT:
            return self._text()
        return float(self._take(_FLOAT)[0]) if kind == _KIND_NUMBER else None

    def _months(self, count: int, scale: int) -> list[float]:
        if scale == _SCALE_EXACT:
            return list(self._take(struct.Struct(f"<{count}d")))
        packed = self._take(struct.Struct(f"<{count}h"))
        return [np.nan if value == _NOTHING else value / 10.0**scale for value in packed]
