"""CSV cut, read and written by kernels: the same as Python's csv module and NumPy would."""

import csv
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.batch.csv_sink import rows
from serving.csv_text.columns import Names, number
from serving.csv_text.records import RecordReader

pytestmark = pytest.mark.unit

CELLS = st.text(alphabet='a1"\n\r ,é\x00', max_size=6)
TEXTS = st.text(alphabet='ab1,"\n\r é\x00', max_size=80)
NUMBERS = st.one_of(
    st.floats().map(repr),
    st.text(alphabet="0123456789.-+e_ naif", max_size=20),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.integers().map(str),
)


def cut(text, most):
    """Records as the reader cuts them: line, cells; None where there are other cells than three."""
    reader = RecordReader(io.BytesIO(b"x,y,z\n" + text.encode()), "file")
    reader.want(["x", "y", "z"])
    found = []
    while (records := reader.look(most)) is not None:
        columns = [records.cells.texts(name) for name in "xyz"]
        for row, line in enumerate(records.lines.tolist()):
            cells = None if row in records.wrong else [column[row] for column in columns]
            found.append((line, cells))
        taken = max(1, len(found) % (len(records.lines) + 1))
        del found[len(found) - len(records.lines) + taken :]
        reader.take(records, taken)
    return found


def by_csv(text):
    reader = csv.reader(io.StringIO("x,y,z\n" + text, newline=""))
    next(reader)
    return [(reader.line_num, row if len(row) == 3 else None) for row in reader if row]


@settings(max_examples=500, deadline=None)
@given(text=TEXTS, most=st.integers(1, 5))
@example(text='"a""b",c,d\n"x\r\ny",2,3', most=1)
@example(text='a,b,"c', most=2)
@example(text='"a"b"c,d",e\r\n\r\n\r,,\r\n', most=2)
def test_any_text_is_cut_as_the_csv_module_cuts_it(text, most):
    assert cut(text, most) == by_csv(text)


@settings(max_examples=300, deadline=None)
@given(
    table=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=6), most=st.integers(1, 4), quoting=st.booleans()
)
def test_what_a_csv_writer_writes_is_read_back(table, most, quoting):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL if quoting else csv.QUOTE_MINIMAL).writerows(table)
    assert [cells for _, cells in cut(text.getvalue(), most)] == [cells for _, cells in by_csv(text.getvalue())]


@settings(max_examples=500, deadline=None)
@given(texts=st.lists(NUMBERS, min_size=1, max_size=5))
@example(texts=["1e400", " 3", "nan", "1,5", "-0", ".5", "5.", "-", "+1", "1_0", "0.1", "123456789012345", "1" * 30])
def test_numbers_are_read_as_python_reads_them(texts):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([one, ""] for one in texts)
    reader = RecordReader(io.BytesIO(b"x,y\n" + text.getvalue().encode()), "file")
    reader.want(["x"])
    records = reader.look(100)
    values, wrong = records.cells.numbers("x")
    for row, one in enumerate(texts):
        try:
            expected = number(one)
        except ValueError:
            assert row in wrong
            continue
        assert row not in wrong
        assert np.float64(expected).tobytes() == values[row].tobytes() or (
            expected != expected and values[row] != values[row]
        )


def test_known_names_are_their_places_and_all_others_are_asked_for():
    body = 'x\nsales\n研发\n""\n sales\nsale\nbad\n'
    reader = RecordReader(io.BytesIO(body.encode()), "file")
    reader.want(["x"])
    records = reader.look(10)
    asked = []

    def read(text):
        asked.append(text)
        return None if text == "bad" else 9.0

    values, wrong = records.cells.names("x", Names(["finance", "sales", "研发", " sales"]), read)
    assert asked == [" sales", "sale", "bad"]
    np.testing.assert_array_equal(values[:5], [1, 2, np.nan, 9, 9])
    assert wrong.tolist() == [5]


def written(values):
    table = {"x": np.array(values, np.float32)}
    return [line.split(",")[1] for line in str(rows(["i"] * len(values), table), "utf-8").splitlines()]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
@example([0.0, -0.0, 1.0, -1.0, 0.5, 0.25, 1e-4, 9.9999e-05, 1e6, 999999.94, 16777216.0, float("inf"), float("nan")])
def test_a_float32_is_written_as_numpy_writes_it(values):
    assert written(values) == [str(np.float32(value)) for value in values]


def test_a_hundred_thousand_float32_are_written_as_numpy_writes_them():
    random = np.random.default_rng(0)
    for low, high in ((0, 1), (1e-4, 1e-3), (-100, 100), (0, 1e6)):
        values = random.uniform(low, high, 25_000).astype(np.float32)
        values = np.concatenate([values, np.round(values, 3)])
        assert written(values) == [str(value) for value in values]


def test_ids_are_quoted_where_they_have_to_be():
    ids = ["a", "b,c", 'd"e', "f\ng", "研发", ""]
    lines = str(rows(ids, {"x": np.ones(6, np.float32)}), "utf-8")
    assert [row[0] for row in csv.reader(io.StringIO(lines, newline=""))] == ids


def test_records_longer_than_a_block_are_read_and_the_place_after_each_is_right():
    long = "y" * 100_000
    body = "".join(f'{number},"{long}\n{long[:20_000]}",z\n' for number in range(40)).encode()
    reader = RecordReader(io.BytesIO(b"x,y,z\n" + body), "file")
    reader.want(["x", "z"])
    first = reader.look(7)
    reader.take(first, 3)
    place = reader.place
    again = RecordReader(io.BytesIO(b"x,y,z\n" + body), "file")
    again.want(["x", "z"])
    again.go_to(place)
    assert place.line == 7
    assert again.look(2).cells.texts("x") == reader.look(2).cells.texts("x") == ["3", "4"]


class Trickle(io.BytesIO):
    """A pipe that gives one byte at a time."""

    def readinto(self, room):
        return super().readinto(memoryview(room)[:1])


def test_a_byte_order_mark_that_comes_in_pieces_is_no_part_of_the_header():
    reader = RecordReader(Trickle(b"\xef\xbb\xbfx,y\n1,2\n"), "file")
    assert reader.header == ["x", "y"]
    reader.want(["x"])
    assert reader.look(5).cells.texts("x") == ["1"]
