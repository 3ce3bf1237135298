"""Somebody's own file of who left: the rows of the generator come back, and what contradicts itself is refused."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exporters.data import attrition, attrition_table, leaks, schema, splits
from exporters.data.dataset import Dataset
from exporters.errors import DataError
from tests.exporters.conftest import nans_agree

pytestmark = pytest.mark.unit
MONTHS = [f"{2022 + month // 12}-{month % 12 + 1:02d}" for month in range(24)]
LEFT = {"ann": "", "bob": "2023-02", "cid": "2023-10", "dee": "2023-07", "eve": "2023-12", "flo": ""}
HIRED = {"flo": "2023-03"}
"""Looked at in 2022-12 (months 1-12 to look back on) and 2023-06: bob has left by then."""


def table(left: dict[str, str] = LEFT, months: list[str] = MONTHS) -> list[str]:
    """Lines of a small file: the hours of a month are its number, and one more for every employee."""
    lines = ["employee,month,tenure,monthly_hours,gender,left"]
    for number, (name, last) in enumerate(left.items()):
        for month in months:
            if HIRED.get(name, "") <= month < (last or "9999"):
                value = MONTHS.index(month) + number
                lines.append(f"{name},{month},{10 * number},{value},{'fm'[number % 2]},{last}")
    return lines


@pytest.fixture
def read(tmp_path: Path):
    """Reads lines of a file, under a mapping given as text where there is one."""

    def _read(lines: list[str], mapping: str | None = None) -> Dataset:
        path = tmp_path / "leavers.csv"
        path.write_text("\n".join(lines), "utf-8")
        if mapping is None:
            return attrition_table.load(path, None)
        (tmp_path / "mapping.toml").write_text(mapping, "utf-8")
        return attrition_table.load(path, tmp_path / "mapping.toml")

    return _read


def changed(old: str, new: str) -> list[str]:
    """The lines of the small file with one text in them changed, once."""
    text = "\n".join(table())
    assert text.count(old) >= 1
    return text.replace(old, new, 1).split("\n")


@pytest.mark.parametrize("effects", ["first", "second"])
def test_the_file_of_the_generator_gives_the_rows_of_the_generator(read, effects):
    generated = attrition.load(300, 5, effects)
    own = read(attrition.history_csv(300, 5, effects).splitlines())
    assert nans_agree(generated.table, own.table)
    assert np.array_equal(generated.table.target, own.table.target)
    assert np.array_equal(generated.table.groups, own.table.groups)
    for name in ("month", "gender", "age"):
        assert np.array_equal(generated.table.attributes[name], own.table.attributes[name])
    assert (own.inputs, own.left_out, own.groups) == (generated.inputs, generated.left_out, generated.groups)
    assert (own.table.classes, own.table.horizon) == (generated.table.classes, generated.table.horizon)
    assert (own.title, own.synthetic) == (generated.title, False)
    assert own.table.sha256() == generated.table.sha256()


def test_everyone_who_is_there_is_looked_at_twice_with_windows_and_answers(read):
    rows = read(table()).table
    looked_at = list(zip(rows.groups.tolist(), rows.attributes["month"].tolist(), rows.target.tolist(), strict=True))
    assert looked_at == [
        ("ann", "2022-12", 2),
        ("bob", "2022-12", 0),
        ("cid", "2022-12", 2),
        ("dee", "2022-12", 2),
        ("eve", "2022-12", 2),
        ("ann", "2023-06", 2),
        ("cid", "2023-06", 1),
        ("dee", "2023-06", 0),
        ("eve", "2023-06", 1),
        ("flo", "2023-06", 2),
    ]
    hours = rows.columns["monthly_hours"]
    assert hours[0].tolist() == list(range(12))
    assert hours[6].tolist() == [2.0 + month for month in range(6, 18)]
    assert np.isnan(hours[9, :8]).all()  # hired in 2023-03
    assert hours[9, 8:].tolist() == [19.0, 20.0, 21.0, 22.0]
    assert rows.columns["tenure"].tolist() == [0, 10, 20, 30, 40, 0, 20, 30, 40, 50]


def test_rows_in_any_order_give_the_same_windows(read):
    lines = table()
    backwards = [lines[0], *lines[:0:-1]]
    there = {name: row for row, name in enumerate(read(lines).table.groups.tolist())}
    again = read(backwards).table
    for row, name in enumerate(again.groups.tolist()):
        if again.attributes["month"][row] == "2023-06":
            known = read(lines).table.columns["monthly_hours"][there[name]]
            assert np.array_equal(again.columns["monthly_hours"][row], known, equal_nan=True)


def test_a_month_without_a_row_is_a_gap_in_the_window_and_no_row_at_a_mark(read):
    lines = [line for line in table() if not line.startswith(("ann,2022-05", "cid,2022-12"))]
    rows = read(lines).table
    assert np.flatnonzero(np.isnan(rows.columns["monthly_hours"][0])).tolist() == [4]
    assert ("cid", "2022-12") not in list(zip(rows.groups.tolist(), rows.attributes["month"].tolist(), strict=True))


def test_a_row_in_the_month_of_leaving_is_tolerated_and_a_future_month_of_leaving_as_well(read):
    assert len(read([*table(), "bob,2023-02,10,3,m,2023-02"]).table) == len(read(table()).table)
    assert read(table({**LEFT, "ann": "2024-05"})).table.target[5] == 2


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (changed("ann,2022-01", ",2022-01"), "line 2, column 'employee': got an empty cell, expected who"),
        (
            changed("ann,2022-02", "ann,02/2022"),
            "line 3, column 'month': got the text '02/2022', expected a month as in",
        ),
        (changed("ann,2022-02", "ann,"), "line 3, column 'month': got an empty cell, expected a month"),
        (
            changed("ann,2022-02", "ann,2022-01"),
            "line 3, column 'month': got the text '2022-01', expected each month of",
        ),
        (changed("f,2023-10", "f,2023-11"), "column 'left': got the text '2023-11', expected the same in all rows"),
        (changed("f,2023-10", "f,"), "column 'left': got an empty cell, expected the same in all rows"),
        (changed("f,2023-10", "f,soon"), "column 'left': got the text 'soon', expected a month as in 2024-06"),
        ([*table(), "bob,2023-03,10,3,m,2023-02"], "column 'month': got the text '2023-03', expected no month after"),
        (
            [line for line in table() if not line.startswith("ann,2023-12")],
            "line 24, column 'left': got an empty cell, expected a month of leaving: the employee has no later row",
        ),
        (changed("ann,2022-01,0,0", "ann,2022-01,0,200"), "line 2, column 'monthly_hours': got 200, expected 0 to 168"),
        (changed("ann,2022-01,0,0", "ann,2022-01,0,many"), "line 2, column 'monthly_hours': got the text 'many'"),
        (table(months=MONTHS[:17]), "the file has the months 2022-01 to 2023-05: at least 18 are needed"),
        (changed("left", "gone"), "missing column 'left'"),
        (changed("tenure", "shoe_size"), "unknown column 'shoe_size'"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_where_it_does(read, lines, says):
    with pytest.raises(DataError) as refusal:
        read(lines)
    assert says in refusal.value.message
    assert "leavers.csv" in refusal.value.message


MAPPING = """
employee = "工号"
month = "月份"
left = "离职月份"
known_in_time = ["tenure"]
[columns]
Hours = { type = "history", low = 0, high = 168, unit = "h/week", title = { en = "hours", zh = "工时" } }
"""


def test_a_mapping_says_what_columns_of_other_names_mean(read):
    head, *lines = table()
    named = head.replace("employee,month", "工号,月份").replace("monthly_hours,gender,left", "Hours,性别,离职月份")
    dataset = read([named, *lines], MAPPING)
    assert [(column.name, column.kind) for column in dataset.inputs] == [("tenure", "number"), ("Hours", "history")]
    assert dataset.left_out == {"性别": "protected attribute (gender)"}
    assert dataset.groups == {"性别": ()}
    assert dataset.known_in_time == ("tenure",)
    assert np.array_equal(dataset.table.columns["Hours"], read(table()).table.columns["monthly_hours"], equal_nan=True)
    with pytest.raises(DataError, match="expected 0 to 168 h/week"):
        read([named, lines[0].replace(",0,0,", ",0,169,"), *lines[1:]], MAPPING)


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ('leaving = "left"', "leaving"),
        ('left = "离职月份"', "no column '离职月份'"),
        (
            "[columns]\ngender = { required = false }",
            "'gender': asked for as an input, but it is a protected attribute",
        ),
        ('[columns]\ntenure = { type = "months" }', "months"),
    ],
)
def test_a_mapping_with_a_slip_of_the_pen_is_refused(read, mapping, says):
    with pytest.raises(DataError, match=says):
        read(table(), mapping)


def test_a_column_of_numbers_but_for_a_cell_is_refused_where_its_kind_is_inferred(read):
    head, *lines = table()
    named = [head.replace("tenure", "shoe_size"), *lines]
    assert [column.kind for column in read(named, "").inputs] == ["number", "history"]
    with pytest.raises(DataError, match="line 4, column 'shoe_size': got the text 'N/A', expected a number"):
        read([*named[:3], named[3].replace(",0,", ",N/A,", 1), *named[4:]], "")


def test_columns_that_the_file_lacks_are_no_inputs_and_are_named(read, capsys):
    assert [column.name for column in read(table()).inputs] == ["tenure", "monthly_hours"]
    (line,) = capsys.readouterr().err.splitlines()
    absent = [column.name for column in schema.ATTRITION_INPUTS if column.name not in ("tenure", "monthly_hours")]
    assert line.endswith(f"no inputs of this model: {', '.join(absent)}")


def test_a_file_can_be_split_forward_in_time(read):
    own = read(attrition.history_csv(300, 5).splitlines())
    training, held_out = splits.split(own.table, 0.25, 7)
    leaks.check_split(own.table.rows(training), own.table.rows(held_out))


def with_column(name: str, cell: Callable[[str, str, str], str], employees: int = 300) -> list[str]:
    """The file of the generator with one more column. cell: of employee, month and month of leaving."""
    head, *lines = attrition.history_csv(employees, 5).splitlines()
    split = [line.split(",") for line in lines]
    return [f"{head},{name}", *(f"{','.join(of)},{cell(of[0], of[1], of[-1])}" for of in split)]


def draw(*of: str) -> int:
    """A number below 100 that seems to be random and is the same each time."""
    return int.from_bytes(hashlib.sha256("".join(of).encode()).digest()[:4], "big") % 100


def months_until(month: str, left: str) -> int:
    return splits.month_number(left) - splits.month_number(month) if left else 99


KNOWN_OF_LEAVERS = {
    "a reason in every row of a leaver": lambda who, _, left: ("pay", "family", "offer")[draw(who) % 3] if left else "",
    "a score in every row of a leaver": lambda who, _, left: str(draw(who)) if left else "",
    "a gap in every row of a leaver": lambda _, month, left: "" if left else str(draw(month)),
    "a score of every second leaver": lambda who, _, left: str(draw(who)) if left and draw(who) < 50 else "",
    "a note in the last months only": lambda _, month, left: (
        "on notice" if months_until(month, left) <= 6 else "at work"
    ),
}


@pytest.mark.parametrize("leak", KNOWN_OF_LEAVERS)
def test_what_is_known_of_leavers_only_is_refused_unless_somebody_says_that_it_is_known_in_time(read, leak):
    lines = with_column("why", KNOWN_OF_LEAVERS[leak])
    with pytest.raises(DataError, match="too good to be known in time: 'why' ") as refusal:
        read(lines, "[columns]\nwhy = { required = false }\n")
    assert refusal.value.field == "why"
    assert "known_in_time = ['why']" in refusal.value.message
    known = read(lines, "known_in_time = ['why']\n[columns]\nwhy = { required = false }\n")
    assert "why" in known.table.columns


def test_a_history_that_leavers_alone_have_is_refused(read):
    lines = with_column("monthly_talks", lambda who, month, left: str(draw(who, month) % 4) if left else "")
    with pytest.raises(DataError, match="'monthly_talks' "):
        read(lines, "[columns]\nmonthly_talks = { type = 'history' }\n")


HONEST = {
    "warns of half of the leavers": lambda who, month, left: str(
        draw(who, month) + 60 * (months_until(month, left) <= 6 and draw(who) < 50)
    ),
    "is the same in all rows of a person": lambda who, *_: str(int.from_bytes(who.encode()[-3:], "big")),
    "a name of two or three people": lambda who, *_: f"team {int(who[-4:]) // 3}",
    "is known of few people, some of them leavers": lambda who, *_: "warned" if draw(who) < 10 else "",
    "is known of all in the first year only": lambda who, month, _: str(draw(who)) if month < "2023-01" else "",
}


@pytest.mark.parametrize("column", HONEST)
def test_a_strong_column_that_is_honest_passes(read, column):
    lines = with_column("extra", HONEST[column])
    assert "extra" in read(lines, "[columns]\nextra = { required = false }\n").table.columns
