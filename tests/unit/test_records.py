"""Records against a plain dictionary: what counts, what is kept, what comes back, and bytes that are no record."""

import os
import random
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving import hash_kernels
from serving.contract import MOST_MONTHS
from serving.errors import InvalidInput
from serving.store import fetched, records
from serving.store import record_kernels as kernels
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
)

pytestmark = pytest.mark.unit

NAN = float("nan")
NAMES = ["hours", "hour", "工时", "é", "a", "𝒳", "～", "x" * LONGEST_NAME]
FLOATS = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 5e-324, 1.7e308, -1.5, 3.1, 32767.0, 32768.0, 3276.8])
TEXTS = st.text(max_size=12)
STAMPS = st.builds(
    Stamp,
    st.integers(0, 2) | st.just(2**41),
    st.integers(0, 2) | st.just(2**64 - 1),
    st.sampled_from(["hr", "人事", ""]),
)
MONTHS = st.builds(
    lambda first, values: Months(first, np.array(values)),
    st.integers(600, 650) | st.sampled_from([-(2**15), 2**15 - 1 - MOST_MONTHS]),
    st.lists(FLOATS | st.just(NAN) | st.integers(-400, 400).map(lambda tenths: tenths / 10), max_size=MOST_MONTHS),
)
VALUES = FLOATS | TEXTS | st.none()


def _events(stamps: st.SearchStrategy[Stamp] = STAMPS) -> st.SearchStrategy[FactsEvent]:
    names = st.sampled_from(NAMES)
    return st.builds(
        FactsEvent,
        st.just("employee"),
        st.just("7"),
        stamps,
        st.dictionaries(names, VALUES, max_size=4),
        st.dictionaries(names, MONTHS, max_size=3),
    )


HISTORIES = st.lists(_events(), max_size=6, unique_by=lambda event: event.stamp)


def event(facts: dict | None = None, series: dict | None = None, as_of: int = 1, source: str = "hr") -> FactsEvent:
    return FactsEvent("employee", "7", Stamp(as_of, 0, source), facts or {}, series or {})


def plain(stored: StoredFacts) -> tuple[dict, dict]:
    """Values to the last bit, so that they can be compared: -0.0 is not 0.0, and a missing value is itself."""
    facts = {name: (_bits(value), stamp) for name, (value, stamp) in stored.facts.items()}
    series = {
        name: {
            line.months.first + place: (_bits(value), stamp)
            for place, (value, stamp) in enumerate(zip(line.months.values, line.stamps, strict=True))
            if stamp is not None
        }
        for name, line in stored.series.items()
    }
    return facts, series


def expected(events: Sequence[FactsEvent]) -> tuple[dict, dict]:
    """The same by the rule: the greatest stamp counts, then months that are too old are dropped."""
    facts: dict = {}
    series: dict = {}
    for said in events:
        for name, value in said.facts.items():
            if name not in facts or said.stamp > facts[name][1]:
                facts[name] = (_bits(value), said.stamp)
        for name, months in said.series.items():
            for month, value in enumerate(months.values, months.first):
                known = series.setdefault(name, {})
                if not np.isnan(value) and (month not in known or said.stamp > known[month][1]):
                    known[month] = (_bits(value), said.stamp)
    newest = {name: max(known) for name, known in series.items() if known}
    kept = {
        name: {month: series[name][month] for month in series[name] if month > last - MOST_MONTHS}
        for name, last in newest.items()
    }
    return facts, kept


def _bits(value: object) -> object:
    return struct.pack("<d", value) if isinstance(value, float) else value


def is_valid(record: bytes) -> bool:
    """By the check that the store makes, with the record in the middle of other bytes."""
    buffer = np.frombuffer(bytearray(b"\xff" * 7 + record + b"\xff" * 7), np.uint8)
    state = np.array([fetched.NOT_FOUND, fetched.FOUND], np.uint8)
    corrupt = records.find_corrupt(buffer, np.array([-1, 7]), np.array([10**9, 7 + len(record)]), state)
    assert state.tolist() == [fetched.NOT_FOUND, fetched.CORRUPT if corrupt else fetched.FOUND]
    return corrupt == 0


def sealed(body: bytes) -> bytes:
    """With the checksum that belongs to it."""
    zero = np.uint64(0)
    return (
        body
        + struct.pack("<Q", hash_kernels.siphash64(np.frombuffer(body, np.uint8).copy(), 0, len(body), zero, zero))[:4]
    )


@settings(deadline=None, max_examples=200)
@given(HISTORIES, st.randoms(use_true_random=False))
def test_any_order_and_grouping_of_events_gives_the_same_facts(events: list[FactsEvent], chance: random.Random) -> None:
    left = chance.sample(events, len(events))
    record = None
    while left:
        size = chance.randint(1, 3)
        merged = records.merge(record, left[:size])
        record, left = (record if merged is None else merged), left[size:]
    if record is None:
        assert expected(events) == ({}, {})
    else:
        assert is_valid(record)
        assert plain(records.decode(record)) == expected(events)


@settings(deadline=None)
@given(HISTORIES)
def test_what_is_known_already_changes_nothing(events: list[FactsEvent]) -> None:
    record = records.merge(None, events)
    assert records.merge(record, events) is None
    for said in events:
        assert records.merge(record, [said]) is None


@settings(deadline=None)
@given(st.lists(_events(st.sampled_from([Stamp(1, 0, "hr"), Stamp(1, 0, "pay"), Stamp(1, 1, "hr")])), max_size=6))
def test_of_equal_stamps_the_first_stays(events: list[FactsEvent]) -> None:
    record = records.merge(None, events)
    assert (({}, {}) if record is None else plain(records.decode(record))) == expected(events)


@settings(deadline=None)
@given(HISTORIES, st.binary(min_size=8, max_size=8))
def test_the_same_facts_and_revision_are_the_same_bytes(events: list[FactsEvent], revision: bytes) -> None:
    record = records.merge(None, events, revision)
    assert records.merge(None, events[::-1], revision) == record
    assert record is None or record[records.REVISION] == revision


def test_every_write_has_a_revision_of_its_own() -> None:
    written = [records.merge(None, [event({"hours": 1.0})]) for _ in range(3)]
    assert len({record[records.REVISION] for record in written}) == 3


def test_nothing_said_is_nothing_stored() -> None:
    assert records.merge(None, []) is None
    assert records.merge(None, [event()]) is None
    assert (
        records.merge(None, [event(series={"hours": Months(650, np.array([NAN, NAN])), "x": Months(1, np.empty(0))})])
        is None
    )


def test_missing_is_a_fact_and_a_number_that_is_not_one_is_missing() -> None:
    record = records.merge(None, [event({"hours": None, "quality": NAN, "department": ""})])
    stamp = Stamp(1, 0, "hr")
    assert records.decode(record).facts == {"department": ("", stamp), "hours": (None, stamp), "quality": (None, stamp)}


def test_months_that_are_too_old_are_dropped_however_late_they_come() -> None:
    full = event(series={"hours": Months(600, np.arange(36.0))})
    newer = event(series={"hours": Months(640, np.array([NAN, 7.0, NAN]))}, as_of=2)
    record = records.merge(records.merge(None, [full]), [newer])
    series = records.decode(record).series["hours"]
    assert series.months.first == 606
    assert series.months.values[[0, 29, 35]].tolist() == [6, 35, 7]
    assert np.isnan(series.months.values[30:35]).all()
    assert series.stamps[30:35] == (None,) * 5
    assert records.merge(record, [event(series={"hours": Months(605, np.array([1.0]))}, as_of=3)]) is None
    assert records.merge(record, [event(series={"hours": Months(606, np.array([1.0]))}, as_of=3)]) is not None


def test_sources_and_stamps_that_no_longer_count_are_dropped() -> None:
    record = records.merge(None, [event({"hours": 1.0}, as_of=time, source=f"feed {time}") for time in range(1, 300)])
    assert len(record) == len(records.merge(None, [event({"hours": 1.0}, source="feed 299")]))


@settings(deadline=None)
@given(st.integers(0, 4), st.lists(st.integers(-32767, 32767), min_size=1, max_size=36))
def test_decimals_are_packed_in_two_bytes_and_come_back_to_the_last_bit(places: int, whole: list[int]) -> None:
    values = np.array(whole) / 10**places
    record = records.merge(None, [event(series={"x": Months(0, values)})])
    assert len(record) == len(records.merge(None, [event(series={"x": Months(0, np.zeros(len(values)))})]))
    assert records.decode(record).series["x"].months.values.tobytes() == values.tobytes()


@settings(deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=36))
@example([32768.0])
@example([-32768.0])
@example([3276.8, 0.01])
@example([-0.0])
@example([0.1 + 0.2])
@example([float("inf")])
def test_all_other_values_come_back_to_the_last_bit_too(values: list[float]) -> None:
    record = records.merge(None, [event({"x": values[0]}, {"x": Months(0, np.array(values))})])
    stored = records.decode(record)
    assert stored.series["x"].months.values.tobytes() == np.array(values).tobytes()
    assert _bits(stored.facts["x"][0]) == _bits(values[0])


def test_months_may_be_of_any_type_and_stride() -> None:
    for values in (np.arange(6, dtype=np.float32), np.arange(6), np.arange(12.0)[::2] / 2, np.arange(6, dtype=">f8")):
        record = records.merge(None, [event(series={"x": Months(0, values)})])
        assert records.decode(record).series["x"].months.values.tolist() == [0, 1, 2, 3, 4, 5]


def test_more_than_255_stamps_are_told_apart() -> None:
    events = [event({f"f{number}": float(number)}, as_of=number) for number in range(MOST_FACTS)]
    events += [event(series={"x": Months(600, np.arange(36.0))}, as_of=1000)]
    for order in (events, events[::-1]):
        assert plain(records.decode(records.merge(None, order))) == expected(events)
    assert plain(records.decode(records.merge(None, events[:255]))) == expected(events[:255])
    shrunk = records.merge(records.merge(None, events), [event({f"f{n}": 0.0 for n in range(10)}, as_of=2000)])
    assert len(records.decode(shrunk).facts) == MOST_FACTS


def test_the_largest_record_there_can_be() -> None:
    """Every month with a stamp of its own, sources and names as many as there may be; then texts until it is full."""
    name = "{:0>8}"
    facts = {name.format(number): None for number in range(MOST_FACTS)}
    months = {
        name.format(number): Months(600, np.random.default_rng(number).integers(-9999, 9999, 36) / 10)
        for number in range(MOST_SERIES)
    }
    sources = [f"{number:0>3}" for number in range(MOST_SOURCES)]
    events = [event(facts, months, source=sources[0])]
    for time in range(2, 38):
        one_month = {key: Months(598 + time, line.values[time - 2 : time - 1]) for key, line in months.items()}
        events += [
            event(series={key: line}, as_of=1000 * time + at, source=sources[(64 * time + at) % MOST_SOURCES])
            for at, (key, line) in enumerate(one_month.items())
        ]
    record = records.merge(None, events)
    assert plain(records.decode(record)) == expected(events)
    fits = (records.LARGEST - len(record) - 17) // (1 + LONGEST_TEXT)
    texts = [
        event({name.format(number): "～" * (LONGEST_TEXT // 3)}, as_of=10**6, source=sources[0])
        for number in range(fits + 1)
    ]
    record = records.merge(record, texts[:fits])
    assert records.LARGEST - LONGEST_TEXT <= len(record) <= records.LARGEST
    refusal = f"^bytes: got more than {records.LARGEST} of one entity, expected at most {records.LARGEST}$"
    with pytest.raises(InvalidInput, match=refusal):
        records.merge(record, texts[fits:])
    assert plain(records.decode(record)) == expected([*events, *texts[:fits]])
    assert records.merge(record, [*events, *texts[:fits]]) is None


def test_a_record_that_is_too_large_from_before_is_read_and_may_become_smaller() -> None:
    text = {f"f{number}": "x" * LONGEST_TEXT for number in range(MOST_FACTS)}
    record = sealed(records._state(event(text)))
    assert len(record) > records.LARGEST
    assert plain(records.decode(record)) == expected([event(text)])
    assert records.merge(record, [event(text)]) is None
    with pytest.raises(InvalidInput, match="bytes: got more than"):
        records.merge(record, [event({"f0": 1.0}, as_of=2)])
    assert len(records.merge(record, [event(dict.fromkeys(text), as_of=2)])) < 4000


@pytest.mark.parametrize(
    ("limit", "most", "make"),
    [
        ("facts", MOST_FACTS, lambda number: event({f"f{number}": 1.0})),
        ("monthly facts", MOST_SERIES, lambda number: event(series={f"f{number}": Months(0, np.ones(1))})),
        ("sources", MOST_SOURCES, lambda number: event({f"f{number}": 1.0}, source=f"feed {number}")),
    ],
)
def test_limits(limit: str, most: int, make: object) -> None:
    record = records.merge(None, [make(number) for number in range(most)])
    with pytest.raises(InvalidInput, match=f"^{limit}: got more than {most} of one entity, expected at most {most}$"):
        records.merge(record, [make(most)])
    assert records.merge(record, [make(0)]) is None


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (event({f"f{number}": 1.0 for number in range(MOST_FACTS + 1)}), "facts: got more than 256"),
        (
            event(series={f"f{n}": Months(0, np.ones(1)) for n in range(MOST_SERIES + 1)}),
            "monthly facts: got more than 64",
        ),
        (event({"x" * 65: 1.0}), "name: got 65 bytes, expected at most 64"),
        (event({"～" * 22: 1.0}), "name: got 66 bytes, expected at most 64"),
        (event({"x": 1.0}, source="x" * 65), "name: got 65 bytes, expected at most 64"),
        (event({"x": "～" * 86}), "x: got a text of 258 bytes, expected at most 255"),
        (event(series={"x": Months(0, np.ones(37))}), "x: got 37 months, expected at most 36"),
        (
            event(series={"x": Months(2**15 - 1, np.ones(1))}),
            "x: got month 32767, expected -32768 to 32766 months since",
        ),
        (event(series={"x": Months(-(2**15) - 1, np.ones(1))}), "x: got month -32769, expected -32768 to"),
    ],
)
def test_an_event_that_cannot_be_stored_is_refused(said: FactsEvent, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        records.merge(None, [said])
    assert refusal.value.message.startswith(sentence)


def test_a_record_of_twenty_facts_and_six_histories_of_two_years_stays_below_a_kilobyte() -> None:
    facts = {f"a fact {number:03}": number / 10 for number in range(20)}
    series = {f"history {number}": Months(600, np.arange(24) / 10) for number in range(6)}
    assert len(records.merge(None, [event(facts, series)])) < 1000


def test_kernels_know_the_same_limits() -> None:
    assert (kernels.MOST_FACTS, kernels.MOST_SERIES, kernels.MOST_SOURCES) == (MOST_FACTS, MOST_SERIES, MOST_SOURCES)
    assert (kernels.MOST_MONTHS, kernels.LARGEST) == (MOST_MONTHS, records.LARGEST)


EXAMPLE = records.merge(
    None,
    [
        event(
            {"a": 1.5, "b": "text", "c": None},
            {"x": Months(600, np.array([1.5, NAN, 2.5])), "y": Months(0, np.ones(1))},
        ),
        event({"d": 7.0}, {"z": Months(-5, np.array([1e300, NAN, -0.0, 1.0]))}, as_of=2, source="人事"),
    ],
    b"revision",
)
NEWS = event({"a": 2.0, "bb": "t"}, {"x": Months(602, np.array([9.0, 9.5])), "z": Months(-1, np.ones(2))}, as_of=3)


LAYOUT_1 = """
0102020004000300 7265766973696f6e
02 6872 06 e4babae4ba8b
0100000000000000 0000000000000000 00 0200000000000000 0000000000000000 01
01 61 00 01 000000000000f83f 01 62 00 02 04 74657874 01 63 00 00 01 64 01 01 0000000000001c40
01 78 5802 03 00ff00 01 0f00 0080 1900 01 79 0000 01 00 00 0100
01 7a fbff 04 01ff0101 ff 9c7500883ce4377e 000000000000f87f 0000000000000080 000000000000f03f
dd81c4d5
"""


def test_the_layout_is_what_it_was() -> None:
    """Records of earlier versions are in Redis."""
    assert bytes.fromhex(LAYOUT_1) == EXAMPLE


@pytest.mark.parametrize("record", [b"", b"\1", bytes(20), EXAMPLE[:-1], EXAMPLE + b"\0", EXAMPLE[1:], sealed(b"")])
def test_what_is_no_record_is_recognised(record: bytes) -> None:
    assert not is_valid(record)
    with pytest.raises(records.CorruptRecord):
        records.decode(record)
    if record:
        with pytest.raises(records.CorruptRecord, match="a stored record is corrupt"):
            records.merge(record, [NEWS])


def test_every_flipped_bit_is_noticed() -> None:
    for bit in range(8 * len(EXAMPLE)):
        record = bytearray(EXAMPLE)
        record[bit // 8] ^= 1 << bit % 8
        assert not is_valid(bytes(record))


def test_places_outside_the_buffer_are_no_records() -> None:
    buffer = np.frombuffer(bytearray(EXAMPLE), np.uint8)
    starts = np.array([-1, 0, 0, len(EXAMPLE), 10, -(2**62), 2**62, 0])
    ends = np.array([len(EXAMPLE), len(EXAMPLE) + 1, -1, len(EXAMPLE), 5, 2**62, -(2**62), len(EXAMPLE)])
    state = np.zeros(len(starts), np.uint8)
    assert records.find_corrupt(buffer, starts, ends, state) == len(starts) - 1
    assert state[-1] == fetched.FOUND


MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, len(EXAMPLE) - 5), st.sampled_from([0, 1, 2, 3, 4, 127, 128, 254, 255]) | st.integers(0, 255)
    ),
    max_size=3,
)


@settings(deadline=None, max_examples=2000)
@given(MUTATIONS, st.integers(0, 40), st.binary(max_size=4))
def test_a_record_that_is_wrong_but_well_summed_leads_nowhere_else(
    mutations: list[tuple[int, int]], cut: int, more: bytes
) -> None:
    body = bytearray(EXAMPLE[: len(EXAMPLE) - 4 - cut] + more)
    for place, byte in mutations:
        if place < len(body):
            body[place] = byte
    _try(sealed(bytes(body)))


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=100), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_random_bytes_lead_nowhere_else(rest: bytes, sources: int, stamps: int, facts: int, series: int) -> None:
    _try(sealed(struct.pack("<BBHHHQ", 1, sources, stamps, facts, series, 0) + rest))


def _try(record: bytes) -> None:
    """Whatever it is: it is refused everywhere, or taken everywhere and merged into a record again."""
    if not is_valid(record):
        with pytest.raises(records.CorruptRecord):
            records.decode(record)
        with pytest.raises(records.CorruptRecord):
            records.merge(record, [NEWS])
        return
    merged = records.merge(record, [NEWS])
    assert merged is None or is_valid(merged)
    for taken in (record, merged or record):
        try:
            records.decode(taken)
        except records.CorruptRecord:  # names and texts that are not UTF-8
            assert any(byte > 127 for byte in taken[16:-4])


@pytest.mark.slow
def test_kernels_stay_within_their_arrays(tmp_path: Path) -> None:
    """The tests of wrong bytes again, compiled so that every access is checked."""
    checked = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "EPM_JIT_CACHE_DIR": str(tmp_path),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path),
    }
    modules = [Path(__file__), Path(__file__).with_name("test_record_reader.py")]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *modules], env=checked, check=True, timeout=280
    )
