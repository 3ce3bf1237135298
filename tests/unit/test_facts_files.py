"""Files of facts: what is read from CSV and Parquet, and which place is named when something is wrong."""

import datetime
import decimal
import math
import os
import random
import sys

import numpy as np
import pytest

from serving.errors import InvalidInput, SettingsError
from serving.facts_files import MOST_BYTES, ROWS, FactsFile, Layout

pytestmark = pytest.mark.unit

NAN = float("nan")
CHANGED = 1_774_000_000
"""When files of these tests were last changed: 2026-03-20 09:46:40 UTC."""
CANARY = "canary-7731"


def layout(**fields):
    return Layout(**{"id": "employee", "month": "", "as_of": "", "entity_type": "employee", "source": "hr", **fields})


@pytest.fixture
def read(tmp_path):
    """Write a file; its events, and with `messages=True` its messages."""

    def run(content, batch=1000, messages=False, name="rows.csv", **fields):
        path = tmp_path / name
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (CHANGED, CHANGED))
        file = FactsFile(path, layout(**fields))
        made = list(file.messages(batch))
        assert not made or file.read == 1
        return made if messages else [event for one in made for event in one.request.events]

    return run


def facts(event):
    return {one.name: getattr(one, one.WhichOneof("value") or "", None) for one in event.facts}


def months(event):
    """name -> (first month, values), NaN as None."""
    return {
        one.name: (one.first_month, [None if math.isnan(value) else value for value in one.values])
        for one in event.monthly_facts
    }


ENTITIES = "employee,hours,department,hired\nE1,40.5,研发,2020-01-31\n E2 ,, sales ,\nE3, nan ,,2021-02-28\n"
PANEL = """employee,month,hours,output
E1,2026-01,160,1
E1,2026-02,150,
E1,2026-03,155.5,3
E2,2025-12,1,1e3
E2,2026-03,4,-2
E1,2025-11,99,9
"""


def test_a_row_is_an_entity_and_an_empty_cell_a_fact_that_is_missing(read):
    events = read(ENTITIES, texts=["department", "hired"], sequence=3)
    assert [event.entity_id for event in events] == ["E1", "E2", "E3"]
    assert [facts(event) for event in events] == [
        {"hours": 40.5, "department": "研发", "hired": "2020-01-31"},
        {"hours": None, "department": "sales", "hired": None},
        {"hours": None, "department": None, "hired": "2021-02-28"},
    ]
    assert {(e.entity_type, e.source, e.sequence, e.as_of.seconds) for e in events} == {("employee", "hr", 3, CHANGED)}


def test_rows_of_one_entity_that_stand_together_are_one_event(read):
    events = read(PANEL, month="month")
    assert [(event.entity_id, months(event)) for event in events] == [
        ("E1", {"hours": (202601, [160, 150, 155.5]), "output": (202601, [1, None, 3])}),
        ("E2", {"hours": (202512, [1, None, None, 4]), "output": (202512, [1000, None, None, -2])}),
        ("E1", {"hours": (202511, [99]), "output": (202511, [9])}),
    ]
    assert all(not event.facts for event in events)


@pytest.mark.parametrize(
    "form", ["202601", "2026-01-31", "20260131", "2026-01-15 12:00:00", "2026-01-31T00:00:00+08:00"]
)
def test_a_month_has_many_forms(read, form):
    assert read(PANEL.replace("2026-01", form), month="month") == read(PANEL, month="month")


def test_months_in_any_order_are_put_in_order(read):
    text = "employee,month,a\nE,2026-03,3\nE,2026-01,1\nE,2026-02,2\n"
    assert months(read(text, month="month")[0]) == {"a": (202601, [1, 2, 3])}


def test_the_newest_36_months_are_loaded(read):
    rows = [f"E,{2020 + n // 12}-{n % 12 + 1:02},{n}" for n in range(50)]
    for lines in (rows, random.Random(0).sample(rows, 50)):
        text = "\n".join(["employee,month,a", *lines])
        assert months(read(text, month="month")[0]) == {"a": (202103, list(range(14, 50)))}


def test_entities_are_whole_wherever_chunks_end(read):
    random_ = random.Random(1)
    expected, lines = [], ["employee,month,a"]
    for number in range(3 * ROWS // 10):
        values = [round(random_.random(), 3) for _ in range(random_.randint(1, 24))]
        expected.append((f"E{number}", {"a": (202401, values)}))
        lines += [f"E{number},{2024 + m // 12}-{m % 12 + 1:02},{value}" for m, value in enumerate(values)]
    assert [(e.entity_id, months(e)) for e in read("\n".join(lines), month="month")] == expected


def test_one_id_on_thousands_of_lines_is_read_with_a_time_of_its_own_for_each(read):
    begin = datetime.datetime(2020, 1, 1)
    times = [(begin + datetime.timedelta(hours=n)).isoformat() for n in range(3 * ROWS)]
    text = "\n".join(["employee,month,at,a", *(f"E,2020-01,{time},1" for time in times)])
    assert len(read(text, month="month", as_of="at")) == 3 * ROWS


@pytest.mark.parametrize(
    ("as_of", "seconds", "nanos"),
    [
        ("2026-03-31T18:00:00+08:00", 1_774_951_200, 0),
        ("2026-03-31", 1_774_915_200, 0),
        ("2026-03-31T00:00:00.1259Z", 1_774_915_200, 125_000_000),
    ],
)
def test_as_of_is_a_time_in_utc_unless_it_says_otherwise(read, as_of, seconds, nanos):
    (event,) = read("employee,a\nE,1\n", as_of=as_of)
    assert (event.as_of.seconds, event.as_of.nanos) == (seconds, nanos)
    (event,) = read(f"employee,at,a\nE,{as_of},1\n", as_of="at")
    assert (event.as_of.seconds, event.as_of.nanos) == (seconds, nanos)
    assert facts(event) == {"a": 1}


def test_months_with_another_as_of_are_another_event(read):
    text = "employee,month,at,a\nE,2026-01,2026-02-01,1\nE,2026-02,2026-03-01,2\nE,2026-03,2026-03-01,3\n"
    events = read(text, month="month", as_of="at")
    assert [months(event) for event in events] == [{"a": (202601, [1])}, {"a": (202602, [2, 3])}]


def test_times_are_remembered_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.facts_files.MOST_KNOWN", ROWS + 10)
    lines = [f"E{n},2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}.{n // 3600:03},{n}" for n in range(5 * ROWS)]
    (tmp_path / "rows.csv").write_text("\n".join(["employee,at,a", *lines]))
    file = FactsFile(tmp_path / "rows.csv", layout(as_of="at"))
    events = [event for message in file.messages(1000) for event in message.request.events]
    assert [event.as_of.seconds % 3600 for event in events] == [n % 3600 for n in range(5 * ROWS)]
    assert len(file._times) <= ROWS + 10


def test_reading_a_file_again_gives_the_same_bytes(read):
    first = read(PANEL, month="month", messages=True)
    assert [one.request.SerializeToString() for one in read(PANEL, month="month", messages=True)] == [
        one.request.SerializeToString() for one in first
    ]


def test_a_file_as_spreadsheets_write_it_is_read(read):
    plain = read(PANEL, month="month")
    assert read(b"\xef\xbb\xbf" + PANEL.replace("\n", "\r\n").encode(), month="month") == plain
    assert read(PANEL.replace("E1", '"E1"').replace("\n", "\n\n"), month="month") == plain
    assert read(PANEL.replace("160", " 160 "), month="month") == plain


def test_columns_are_chosen_or_left_out(read):
    text = "employee,month,hours,output\nE,2026-01,1,2\n"
    assert months(read(text, month="month", columns=["output"])[0]).keys() == {"output"}
    assert months(read(text, month="month", ignore=["output"])[0]).keys() == {"hours"}
    assert facts(read(ENTITIES, ignore=["department", "hired"])[0]) == {"hours": 40.5}
    assert facts(read(",employee,a\n0,E,1\n", ignore=[""])[0]) == {"a": 1}


def test_messages_have_so_many_events_and_about_so_many_bytes(read):
    text = "\n".join(["employee,month,a", *(f"E{n // 2},2026-0{n % 2 + 1},1" for n in range(50))])
    made = read(text, month="month", batch=10, messages=True)
    assert [(len(one.request.events), len(one.places), one.rows) for one in made] == [(10, 10, 20)] * 2 + [(5, 5, 10)]
    assert made[1].places[0].endswith("rows.csv, line 22")
    wide = [f"c{n}" for n in range(100)]
    rows = [",".join([f"E{n}", *["t" * 200] * 100]) for n in range(120)]
    made = read("\n".join([",".join(["employee", *wide]), *rows]), texts=wide, messages=True)
    assert sum(len(one.places) for one in made) == 120
    assert max(one.request.ByteSize() for one in made) < MOST_BYTES + 50_000
    assert len(made) == 3


def test_each_event_can_be_sent_alone(read):
    (message,) = read(PANEL, month="month", messages=True)
    single = list(message.events())
    assert [one.request.events[0] for one in single] == list(message.request.events)
    assert [one.places for one in single] == [[place] for place in message.places]


def test_a_file_without_rows_has_no_messages(read):
    assert read("employee,a\n") == []
    assert read("employee,a\n\n\n") == []


QUOTED = 'employee,note,a\nE1,"two\r\nlines",1\nE2,"three\n\nlines",2\n\nE3,x,' + CANARY + "\n"


@pytest.mark.parametrize(
    ("content", "fields", "expected"),
    [
        (PANEL.replace("155.5", CANARY), {"month": "month"}, ["hours", "line 4", "number", "--ignore"]),
        (PANEL.replace("155.5", "inf"), {"month": "month"}, ["hours", "line 4", "finite"]),
        (PANEL.replace("155.5", "1_0"), {"month": "month"}, ["hours", "line 4"]),
        (PANEL.replace("2025-12", CANARY), {"month": "month"}, ["month", "line 5", "2026-03 or 202603"]),
        (PANEL.replace("2025-12", "2025-13"), {"month": "month"}, ["month", "line 5"]),
        (PANEL.replace("2025-12", "1969-12"), {"month": "month"}, ["month", "line 5"]),
        (PANEL.replace("2025-12", ""), {"month": "month"}, ["month", "line 5"]),
        (PANEL.replace("2026-02", "2026-01"), {"month": "month"}, ["line 2", "twice"]),
        (PANEL.replace("2026-02", "2026-04"), {"month": "month"}, ["line 3", "after 2026-03", "--as-of"]),
        (PANEL.replace("E2,2026", " ,2026"), {"month": "month"}, ["employee", "line 6", "an id"]),
        (PANEL, {"month": "months"}, ["'months'", "--month", "hours"]),
        (PANEL, {"month": "month", "id": "id"}, ["'id'", "--id", "hours"]),
        (PANEL, {"month": "month", "columns": ["h"]}, ["'h'", "--columns"]),
        (PANEL, {"month": "month", "ignore": ["h"]}, ["'h'", "--ignore"]),
        (PANEL, {"month": "month", "ignore": ["hours", "output"]}, ["no column is left"]),
        (PANEL, {"month": "month", "as_of": "yesterday"}, ["'yesterday'", "--as-of"]),
        (PANEL.replace("output", "hours"), {"month": "month"}, ["'hours'", "twice"]),
        (PANEL.replace("output", "o" * 65), {"month": "month"}, ["65 bytes"]),
        (PANEL.replace("output", ""), {"month": "month"}, ["0 bytes", "--ignore"]),
        (ENTITIES, {"texts": ["department"]}, ["hired", "line 2", "--text"]),
        (ENTITIES, {"texts": ["town"]}, ["'town'", "--text"]),
        ("employee,at,a\nE,yesterday,1\n", {"as_of": "at"}, ["at", "line 2", "date"]),
        ("employee,at,a\nE,9999-12-31T23:59:59-23:00,1\n", {"as_of": "at"}, ["at", "line 2", "date"]),
        (PANEL, {"month": "month", "as_of": "0001-01-01T00:00:00+23:00"}, ["'0001-01-01T00:00:00+23:00'", "--as-of"]),
        (PANEL + "E4,2026-01\n", {"month": "month"}, ["line 8", "as many cells"]),
        (PANEL + "E4,2026-01,1,1,1\n", {"month": "month"}, ["line 8", "as many cells"]),
        (QUOTED, {"ignore": ["note"]}, ["a: ", "line 8"]),
        ("", {}, ["'employee'", "nothing"]),
        ("employee,a\n研,1\n".encode("gbk"), {}, ["UTF-8"]),
        ("employee,a\n" + "x" * 200_000 + ",1\n", {}, ["line 2"]),
    ],
)
def test_what_is_wrong_is_named_by_its_place_and_not_by_what_it_is(read, content, fields, expected):
    with pytest.raises(InvalidInput) as raised:
        read(content, **fields)
    message = raised.value.message
    assert [word for word in expected if word not in message] == [], message
    assert CANARY not in message


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"entity_type": "Employee"}, "--entity-type"),
        ({"source": ""}, "--source"),
        ({"source": "漢" * 22}, "--source"),
        ({"source": "\udc80"}, "--source"),
        ({"sequence": -1}, "--sequence"),
        ({"sequence": 2**64}, "--sequence"),
    ],
)
def test_what_no_event_could_be_sent_with_is_wrong_use(fields, option):
    with pytest.raises(SettingsError, match=option):
        layout(**fields)


def test_rows_before_a_bad_one_are_sent_first(read, tmp_path):
    lines = [f"E{n},{n}" for n in range(3 * ROWS)]
    (tmp_path / "rows.csv").write_text("\n".join(["employee,a", *lines, "E,canary"]))
    messages, sent = FactsFile(tmp_path / "rows.csv", layout()).messages(10), []
    with pytest.raises(InvalidInput, match=f"line {3 * ROWS + 2}"):
        sent.extend(messages)
    assert sum(len(message.places) for message in sent) >= 3 * ROWS - 10


def parquet(columns, **options):
    """Writes a table."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    return lambda path: pq.write_table(pa.table(columns), path, **options)


def test_parquet_is_read_as_csv_is(read):
    columns = {
        "employee": ["E1", "E1", "E1", "E2", "E2", "E1"],
        "month": ["2026-01", "2026-02", "2026-03", "2025-12", "2026-03", "2025-11"],
        "hours": [160, 150, 155.5, 1, 4, 99],
        "output": [1, None, 3, 1000, -2, 9],
    }
    expected = read(PANEL, month="month")
    assert read(parquet(columns), name="rows.parquet", month="month") == expected
    assert read(parquet(columns, row_group_size=1), name="rows.pq", month="month") == expected
    ends = [datetime.date(int(month[:4]), int(month[5:]), 28) for month in columns["month"]]
    times = np.array(ends, "datetime64[ns]")
    for made in (
        ends,
        times,
        times.astype("datetime64[ms]"),
        [int(month.replace("-", "")) for month in columns["month"]],
    ):
        assert read(parquet({**columns, "month": made}), name="rows.parquet", month="month") == expected


def test_parquet_without_rows_has_no_messages(read):
    pa = pytest.importorskip("pyarrow")
    empty = {"employee": pa.array([], pa.string()), "a": pa.array([], pa.int64())}
    assert read(parquet(empty), name="rows.parquet") == []


def test_parquet_says_itself_what_holds_texts(read):
    pa = pytest.importorskip("pyarrow")
    columns = {
        "employee": [7, 8],
        "department": pa.array(["研发", None]).dictionary_encode(),
        "hired": [datetime.date(2020, 1, 31), None],
        "wage": [decimal.Decimal("12.50"), None],
        "big": pa.array(["x", ""], pa.large_string()),
        "shift": pa.array([True, None]),
        "code": [7, None],
    }
    events = read(parquet(columns), name="rows.parquet", texts=["code"])
    assert [event.entity_id for event in events] == ["7", "8"]
    assert [facts(event) for event in events] == [
        {"department": "研发", "hired": "2020-01-31", "wage": 12.5, "big": "x", "shift": 1, "code": "7"},
        {"department": None, "hired": None, "wage": None, "big": None, "shift": None, "code": None},
    ]


def test_as_of_in_parquet_may_be_a_timestamp(read):
    pa = pytest.importorskip("pyarrow")
    times = [datetime.datetime(2026, 3, 31, 10, tzinfo=datetime.UTC)]
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ms", "Asia/Shanghai"), pa.timestamp("us")):
        columns = {"employee": ["E"], "at": pa.array(times, kind), "a": [1]}
        (event,) = read(parquet(columns), name="rows.parquet", as_of="at")
        assert (event.as_of.seconds, event.as_of.nanos) == (1_774_951_200, 0)
        assert facts(event) == {"a": 1}


@pytest.mark.parametrize(
    ("columns", "fields", "expected"),
    [
        ({"a": ["x"]}, {"month": "month"}, ["a holds texts", "monthly"]),
        ({"a": [[1, 2]]}, {}, ["a holds list", "no fact"]),
        ({"a": [datetime.datetime(2026, 1, 1)]}, {}, ["a holds timestamp"]),
        ({"a": [float("inf")]}, {}, ["a: ", "infinity", "row 1"]),
        ({"employee": [1.5], "a": [1]}, {}, ["employee", "fractions"]),
        ({"employee": [None], "a": [1]}, {}, ["employee", "row 1"]),
    ],
)
def test_what_is_wrong_with_parquet_is_named(read, columns, fields, expected):
    with pytest.raises(InvalidInput) as raised:
        read(parquet({"employee": ["E"], "month": ["2026-01"], **columns}), name="rows.parquet", **fields)
    assert [word for word in expected if word not in raised.value.message] == [], raised.value.message


def test_bytes_that_are_no_parquet_are_refused(read):
    pytest.importorskip("pyarrow")
    with pytest.raises(InvalidInput, match="cannot be read as Parquet"):
        read(b"PAR1 not at all", name="rows.parquet")


def test_without_pyarrow_it_says_what_to_install(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match=r"pip install epm-serving\[parquet\]"):
        read(b"", name="rows.parquet")
