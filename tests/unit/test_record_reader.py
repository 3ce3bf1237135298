"""Stored records as rows of any contract, against the same done slowly with decoded facts."""

import datetime
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import hash_kernels
from serving.contract import (
    MOST_MONTHS,
    CategoryInput,
    Contract,
    DateInput,
    GraphInput,
    HistoryInput,
    NumberInput,
    Program,
    Provenance,
    RawInput,
    ScalarOutput,
    Step,
    Text,
    TextInput,
)
from serving.store import fetched, reader, reader_kernels, records
from serving.store.facts import FactsEvent, Months, Stamp
from serving.store.fetched import Fetched
from serving.store.reader import FactRows, RecordReader
from tests.unit.test_records import EXAMPLE, MUTATIONS, sealed

pytestmark = pytest.mark.unit

NAN = float("nan")
TITLE = Text(en="", zh="")
NAMES = ["hours", "hour", "工时", "é", "a", "b", "c", "𝒳"]
CATEGORIES = ["sales", "研发", "sale", "hr", ""]
FACTS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-3, 12).map(float)
    | st.sampled_from([-0.0, 2.0**53, -(2.0**53), 2.0**53 + 2, 0.5])
    | st.sampled_from([*CATEGORIES, "2024-02-29", "2023-02-29", "2024-13-01", "2024-1-01", "０024-01-01", "20240101"])
    | st.text(max_size=11)
    | st.dates().map(datetime.date.isoformat)
    | st.none()
)
MONTHS = st.builds(
    lambda first, values: Months(first, np.array(values)),
    st.integers(600, 640),
    st.lists(
        st.just(NAN) | st.floats(allow_nan=False) | st.integers(-99, 99).map(lambda tenths: tenths / 10), max_size=36
    ),
)
EVENTS = st.lists(
    st.builds(
        FactsEvent,
        st.just("employee"),
        st.just("7"),
        st.builds(Stamp, st.integers(0, 2**41), st.integers(0, 3), st.sampled_from(["hr", "pay"])),
        st.dictionaries(st.sampled_from(NAMES), FACTS, max_size=8),
        st.dictionaries(st.sampled_from(NAMES), MONTHS, max_size=5),
    ),
    max_size=3,
)
INPUTS = st.lists(
    st.one_of(
        st.builds(NumberInput, st.sampled_from(NAMES), st.just(TITLE), st.just("h")),
        st.builds(
            CategoryInput,
            st.sampled_from(NAMES),
            st.just(TITLE),
            st.lists(st.sampled_from(CATEGORIES) | st.text(max_size=3), unique=True, max_size=7).map(tuple),
        ),
        st.builds(TextInput, st.sampled_from(NAMES), st.just(TITLE)),
        st.builds(DateInput, st.sampled_from(NAMES), st.just(TITLE)),
        st.builds(HistoryInput, st.sampled_from(NAMES), st.just(TITLE), st.just("h")),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda raw: raw.name,
)


def contract(inputs: list[RawInput], months: int) -> Contract:
    histories = any(isinstance(raw, HistoryInput) for raw in inputs)
    return Contract(
        format=1,
        model="model",
        entity_type="employee",
        title=TITLE,
        inputs=tuple(inputs),
        program=Program(steps=(Step("missing_flag", "flag", (inputs[0].name,)),), features=("flag",)),
        tensors=(GraphInput("features", (1,)),),
        outputs=(ScalarOutput("y", TITLE, "y", ""),),
        min_coverage=0.0,
        left_out=(),
        provenance=Provenance("", "", 0, "", "", 0, True, {}),
        months=months if histories else 0,
    )


def together(found: list[bytes | None]) -> Fetched:
    """Records in one buffer, each with bytes that do not belong to it around it; None: not found."""
    buffer, starts, ends = bytearray(b"\xff" * 3), [], []
    for record in found:
        starts.append(len(buffer))
        buffer += record or b""
        ends.append(len(buffer))
        buffer += b"\xff" * 3
    state = [fetched.NOT_FOUND if record is None else fetched.FOUND for record in found]
    return Fetched(
        np.frombuffer(buffer, np.uint8),
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        np.array(state, np.uint8),
        np.zeros(len(found), bool),
    )


def text_code(text: str) -> float:
    encoded = bytearray(text.encode())
    return hash_kernels.text_code(np.frombuffer(encoded, np.uint8), 0, len(encoded))


def value_of(raw: RawInput, stored: float | str | None) -> tuple[float, int]:
    """One stored fact as an input takes it, and what is wrong with it."""
    if stored is None or stored == "":
        return NAN, reader.FINE
    if isinstance(raw, CategoryInput):
        unknown = len(raw.categories)
        if isinstance(stored, str):
            return (raw.categories.index(stored) if stored in raw.categories else unknown), reader.FINE
        return (stored if stored in range(unknown) else unknown), reader.FINE
    if isinstance(raw, TextInput):
        if isinstance(stored, str):
            return text_code(stored), reader.FINE
        whole = abs(stored) < 2**53 and stored.is_integer()
        return (text_code(str(int(stored))), reader.FINE) if whole else (NAN, reader.NOT_WHOLE)
    if isinstance(raw, DateInput) and isinstance(stored, str):
        try:
            day = datetime.datetime.strptime(stored, "%Y-%m-%d").date()
        except ValueError:
            return NAN, reader.NO_DATE
        if len(stored) != 10 or not stored.isascii():
            return NAN, reader.NO_DATE
        return (day - datetime.date(1970, 1, 1)).days, reader.FINE
    return (NAN, reader.TEXT_FOR_NUMBER) if isinstance(stored, str) else (stored, reader.FINE)


def end_of(month: int) -> int:
    """The last millisecond of a month, counted from January 1970."""
    following = datetime.datetime(1970 + (month + 1) // 12, (month + 1) % 12 + 1, 1, tzinfo=datetime.UTC)
    return int(following.timestamp() * 1000) - 1


def expected(promise: Contract, record: bytes | None) -> tuple[list[float], np.ndarray, list[int], tuple[int, int]]:
    """values, history, as_of, (wrong, wrong_input) of one row."""
    histories = [raw for raw in promise.inputs if isinstance(raw, HistoryInput)]
    values, as_of, wrong = [], [-1] * len(promise.inputs), (reader.FINE, -1)
    history = np.full((len(histories), promise.months), NAN)
    stored = None if record is None else records.decode(record)
    series = {} if stored is None else {raw.name: stored.series.get(raw.name) for raw in histories}
    lines = () if stored is None else stored.series.values()
    newest = [line.months.first + len(line.months.values) - 1 for line in lines]
    for number, raw in enumerate(promise.inputs):
        if isinstance(raw, HistoryInput):
            if line := series.get(raw.name):
                as_of[number] = min(line.stamps[-1].as_of, end_of(line.months.first + len(line.stamps) - 1))
                for place, value in enumerate(line.months.values):
                    age = max(newest) - line.months.first - place
                    if age < promise.months:
                        history[histories.index(raw), promise.months - 1 - age] = value
            continue
        values.append(NAN)
        if stored is not None and raw.name in stored.facts:
            fact, stamp = stored.facts[raw.name]
            values[-1], problem = value_of(raw, fact)
            as_of[number] = stamp.as_of
            if problem != reader.FINE and wrong[0] == reader.FINE:
                wrong = problem, number
    return values, history, as_of, wrong


@settings(deadline=None, max_examples=200)
@given(INPUTS, st.integers(1, MOST_MONTHS), st.lists(EVENTS, min_size=0, max_size=3))
def test_rows_are_what_is_stored(inputs: list[RawInput], months: int, entities: list[list[FactsEvent]]) -> None:
    promise = contract(inputs, months)
    found = [records.merge(None, events) for events in entities]
    read = RecordReader(promise).read(together(found))
    assert read.rows.values.shape == (len(found), sum(not isinstance(raw, HistoryInput) for raw in inputs))
    for row, record in enumerate(found):
        values, history, as_of, wrong = expected(promise, record)
        assert read.rows.values[row].tobytes() == np.array(values, np.float64).tobytes()
        assert read.rows.history[row].tobytes() == history.tobytes()
        assert read.as_of[row].tolist() == as_of
        assert (read.wrong[row], read.wrong_input[row]) == wrong


def read_one(inputs: list[RawInput], facts: dict, series: dict | None = None, months: int = 12) -> FactRows:
    record = records.merge(None, [FactsEvent("employee", "7", Stamp(5, 0, "hr"), facts, series or {})])
    return RecordReader(contract(inputs, months)).read(together([record]))


@settings(deadline=None)
@given(st.dates())
def test_every_date_is_a_number_of_days(day: datetime.date) -> None:
    read = read_one([DateInput("hired", TITLE)], {"hired": day.isoformat()})
    assert read.rows.values[0, 0] == (day - datetime.date(1970, 1, 1)).days
    assert read.wrong[0] == reader.FINE


NO_DATES = """0000-01-01 2024-02-30 2023-02-29 1900-02-29 2024-04-31 2024-00-10 2024-13-01 2024-01-00 2024-01-32 today
2024/01/01 2024-01/01 2024-01-1x :024-01-01 2024-01-01T 24-01-01 20240101 2024-W01-1"""


@pytest.mark.parametrize("text", [*NO_DATES.split(), " 024-01-01", "2024-01-1 "])
def test_what_is_no_date_is_wrong(text: str) -> None:
    read = read_one([NumberInput("hours", TITLE, "h"), DateInput("hired", TITLE)], {"hired": text})
    assert (read.wrong[0], read.wrong_input[0]) == (reader.NO_DATE, 1)
    assert np.isnan(read.rows.values).all()


def test_leap_years_of_all_kinds() -> None:
    for text, days in (("2000-02-29", 11016), ("1904-02-29", -24048), ("1970-01-01", 0), ("0001-01-01", -719162)):
        assert read_one([DateInput("hired", TITLE)], {"hired": text}).rows.values[0, 0] == days


@pytest.mark.parametrize(
    ("stored", "text"), [(7.0, "7"), (-12.0, "-12"), (0.0, "0"), (-0.0, "0"), (2.0**53 - 1, str(2**53 - 1))]
)
def test_a_whole_number_is_the_text_of_its_digits(stored: float, text: str) -> None:
    assert read_one([TextInput("team", TITLE)], {"team": stored}).rows.values[0, 0] == text_code(text)


def test_the_first_wrong_input_of_the_contract_is_named() -> None:
    inputs = [TextInput("z", TITLE), DateInput("y", TITLE), NumberInput("a", TITLE, "h")]
    read = read_one(inputs, {"a": "text", "y": "text", "z": "text"})
    assert (read.wrong[0], read.wrong_input[0]) == (reader.NO_DATE, 1)
    assert set(reader.CAME_AND_EXPECTED) == {reader.TEXT_FOR_NUMBER, reader.NO_DATE, reader.NOT_WHOLE, reader.BROKEN}


def test_kernels_know_the_same_codes() -> None:
    for code in ("FINE", "TEXT_FOR_NUMBER", "NO_DATE", "NOT_WHOLE", "BROKEN"):
        assert getattr(reader, code) == getattr(reader_kernels, code)


def test_histories_end_with_the_newest_month_that_is_known_of_anything() -> None:
    inputs = [HistoryInput("b", TITLE, "h"), HistoryInput("a", TITLE, "h")]
    series = {"a": Months(600, np.array([1.0, NAN, 3.0])), "b": Months(603, np.array([4.0, 5.0, NAN]))}
    read = read_one(inputs, {}, series, months=4)
    assert np.array_equal(read.rows.history[0], [[NAN, NAN, 4, 5], [NAN, 3, NAN, NAN]], equal_nan=True)
    assert read.as_of.tolist() == [[5, 5]]
    longer = read_one(inputs, {}, series, months=36)
    assert np.isnan(longer.rows.history[0, :, :31]).all()
    assert longer.rows.history[0, 1, 31] == 1
    shortest = read_one(inputs, {}, series, months=1)
    assert np.array_equal(shortest.rows.history[0], [[5], [NAN]], equal_nan=True)
    assert shortest.as_of.tolist() == [[5, 5]]
    later = read_one(inputs, {}, {**series, "other": Months(605, np.ones(1))}, months=4)
    assert np.array_equal(later.rows.history[0], [[NAN, 4, 5, NAN], [3, NAN, NAN, NAN]], equal_nan=True)


def test_a_present_month_may_be_given() -> None:
    inputs = [HistoryInput("a", TITLE, "h"), HistoryInput("b", TITLE, "h")]
    series = {"a": Months(600, np.array([1.0, NAN, 3.0])), "b": Months(603, np.array([4.0]))}
    record = records.merge(None, [FactsEvent("employee", "7", Stamp(2**45, 0, "hr"), {}, series)])
    reader_of = RecordReader(contract(inputs, 3))
    for present, a, b in (
        (599, [NAN, NAN, NAN], [NAN, NAN, NAN]),
        (601, [NAN, 1, NAN], [NAN, NAN, NAN]),
        (603, [NAN, 3, NAN], [NAN, NAN, 4]),
        (605, [NAN, NAN, NAN], [4, NAN, NAN]),
        (999, [NAN, NAN, NAN], [NAN, NAN, NAN]),
    ):
        read = reader_of.read(together([record]), present_month=present)
        assert np.array_equal(read.rows.history[0], [a, b], equal_nan=True)
        newest_of_a = -1 if present == 599 else end_of(600 if present == 601 else 602)
        assert read.as_of[0].tolist() == [newest_of_a, end_of(603) if present >= 603 else -1]


def test_what_is_replaced_is_neither_wrong_nor_hides_what_is() -> None:
    record = records.merge(None, [FactsEvent("employee", "7", Stamp(5, 0, "hr"), {"a": "x", "b": "y"})])
    inputs = [NumberInput("a", TITLE, ""), NumberInput("b", TITLE, "")]
    reader_of = RecordReader(contract(inputs, 0))
    for replaced, wrong in (((False, False), 0), ((True, False), 1), ((False, True), 0), ((True, True), -1)):
        read = reader_of.read(together([record]), np.array(replaced))
        assert read.wrong_input[0] == wrong


def test_only_records_that_were_found_are_read() -> None:
    record = records.merge(None, [FactsEvent("employee", "7", Stamp(5, 0, "hr"), {"hours": 40.0})])
    found = together([record] * 4)
    found.state[:] = [fetched.FOUND, fetched.NOT_FOUND, fetched.UNAVAILABLE, fetched.CORRUPT]
    read = RecordReader(contract([NumberInput("hours", TITLE, "h")], 0)).read(found)
    assert np.array_equal(read.rows.values[:, 0], [40, NAN, NAN, NAN], equal_nan=True)
    assert read.rows.history.shape == (4, 0, 0)
    assert read.as_of.tolist() == [[5], [-1], [-1], [-1]]
    assert not read.wrong.any()


EVERYTHING = [
    NumberInput("a", TITLE, ""),
    CategoryInput("b", TITLE, ("text", "other")),
    DateInput("c", TITLE),
    TextInput("d", TITLE),
    *(HistoryInput(name, TITLE, "") for name in "xyz"),
]


@settings(deadline=None, max_examples=1000)
@given(MUTATIONS, st.integers(0, 40), st.binary(max_size=4), st.integers(1, 36))
def test_a_record_that_is_wrong_leads_nowhere_else(
    mutations: list[tuple[int, int]], cut: int, more: bytes, months: int
) -> None:
    body = bytearray(EXAMPLE[: len(EXAMPLE) - 4 - cut] + more)
    for place, byte in mutations:
        if place < len(body):
            body[place] = byte
    _read_wrong(sealed(bytes(body)), months)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=100), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_random_bytes_lead_nowhere_else(rest: bytes, sources: int, stamps: int, facts: int, series: int) -> None:
    _read_wrong(sealed(struct.pack("<BBHHHQ", 1, sources, stamps, facts, series, 0) + rest), 36)


def _read_wrong(record: bytes, months: int) -> None:
    """The records around it are read as ever; it is read, or its whole row is marked as broken."""
    promise = contract(EVERYTHING, months)
    read = RecordReader(promise).read(together([EXAMPLE, record, EXAMPLE]))
    for row in (0, 2):
        values, history, as_of, wrong = expected(promise, EXAMPLE)
        assert np.array_equal(read.rows.values[row], values, equal_nan=True)
        assert np.array_equal(read.rows.history[row], history, equal_nan=True)
        assert read.as_of[row].tolist() == as_of
        assert (read.wrong[row], read.wrong_input[row]) == wrong
    found = together([record])
    if records.find_corrupt(found.buffer, found.starts, found.ends, found.state):
        assert read.wrong[1] == reader.BROKEN
        assert read.wrong_input[1] == -1
        assert np.isnan(read.rows.values[1]).all()
        assert np.isnan(read.rows.history[1]).all()
        assert (read.as_of[1] == -1).all()


def test_places_outside_the_buffer_are_broken_records() -> None:
    size = len(EXAMPLE)
    starts = np.array([-1, 0, 0, size, 10, -(2**62), 2**62, 0, -(2**63)])
    ends = np.array([size, size + 9, -1, size, 5, 2**62, -(2**62), -(2**63), 2**63 - 1])
    n = len(starts)
    given = Fetched(np.frombuffer(bytearray(EXAMPLE), np.uint8), starts, ends, np.zeros(n, np.uint8), np.zeros(n, bool))
    assert (RecordReader(contract(EVERYTHING, 12)).read(given).wrong == reader.BROKEN).all()
