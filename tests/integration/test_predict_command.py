"""`epm predict`: a CSV in, answers out; what is wrong with the file is said with line and column."""

import csv
import io
import time

import pytest

from tests.integration.commands import epm

pytestmark = pytest.mark.integration

GOOD = "employee,hours,overtime,department,remark\n张三,40,,研发,x\nE2,55,12.5,sales,y\nE3,30,8,,z\n"


@pytest.fixture
def predict(small, tmp_path):
    """Write a file and score it."""

    def run(content, *options, model="small"):
        path = tmp_path / "rows.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return epm("predict", path, "--model", model, "--address", small.grpc, *options)

    return run


def test_a_table_shows_ids_grades_coverage_and_notes(predict):
    done = predict(GOOD)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert lines[2].startswith("张三")
    assert "grade" in lines[0]
    assert "P(A)" in lines[0]
    assert "too little known" in lines[4]
    assert "remark" in done.stderr, "what the model does not take is named"


@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
def test_the_size_of_a_message_does_not_change_the_answers(batch, predict):
    assert predict(GOOD, "--format", "csv", "--batch", batch).stdout == predict(GOOD, "--format", "csv").stdout


def test_every_kind_of_output_is_shown(predict):
    done = predict(GOOD, "--format", "csv", model="numbers")
    (row, *_) = csv.DictReader(io.StringIO(done.stdout))
    assert {"leaves", "sales", "x", "y", "courses"} <= row.keys()
    assert sorted(row["courses"].split(" > ")) == ["coaching", "excel", "sql"]


def test_a_file_as_spreadsheets_write_it_is_read(predict):
    plain = predict(GOOD, "--format", "csv").stdout
    assert predict(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(), "--format", "csv").stdout == plain
    quoted = GOOD.replace("sales", '"sales"')
    assert predict(quoted, "--format", "csv").stdout == plain


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GOOD.replace("12.5", "viel"), ["overtime", "line 3", "'viel'"]),
        (GOOD.replace("12.5", "inf"), ["overtime"]),
        (GOOD.replace("55", "-55"), ["hours", "-55"]),
        (GOOD.replace("55", ""), ["hours", "required"]),
        (GOOD + "E4,1\n", ["line 5", "as many cells"]),
        (GOOD + "E4,1,2,sales,z,z,z\n", ["line 5", "as many cells"]),
        (GOOD.replace("employee", "person"), ["'employee'", "--id", "person"]),
        (
            GOOD.replace("hours", "h").replace("overtime", "o").replace("department", "d"),
            ["no column of small", "hours"],
        ),
        ("", ["no column of small"]),
        (GOOD.replace("研发", "x").replace("张三", "李四").encode("gbk"), ["UTF-8"]),
        (GOOD.replace("overtime", "hours"), ["hours", "twice"]),
        ("employee,hours\n" + "a" * 200_000 + ",40\n", ["line 2"]),
    ],
    ids=[
        "text for a number",
        "infinity",
        "below what is physical",
        "required",
        "short line",
        "long line",
        "no id column",
        "no known column",
        "empty file",
        "not UTF-8",
        "a column twice",
        "a cell without end",
    ],
)
def test_a_file_that_cannot_be_scored_is_one_sentence_that_names_the_place(content, expected, predict):
    done = predict(content)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert [word for word in expected if word not in done.stderr] == [], done.stderr


def test_rows_before_a_bad_one_do_not_make_it_look_good(predict):
    rows = "".join(f"E{number},40,1,sales,x\n" for number in range(600))
    done = predict(GOOD + rows + "E9,40,canary,sales,x\n", "--batch", 10)
    assert done.returncode == 1
    assert "line 605" in done.stderr
    assert "overtime" in done.stderr


def test_a_file_without_rows_says_so(predict):
    done = predict("employee,hours\n")
    assert done.returncode == 0
    assert "no rows" in done.stderr


def test_line_numbers_stand_in_for_ids(predict):
    rows = list(csv.reader(io.StringIO(predict(GOOD, "--id", "", "--format", "csv").stdout)))
    assert [row[0] for row in rows] == ["line", "2", "3", "4"]


def test_an_unknown_model_and_a_missing_file_are_named(predict, small, tmp_path):
    done = predict(GOOD, model="nobody")
    assert done.returncode == 1
    assert "nobody" in done.stderr
    done = epm("predict", tmp_path / "nowhere.csv", "--model", "small", "--address", small.grpc)
    assert done.returncode == 1
    assert "nowhere.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_gateway_it_says_how_to_start_one(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(GOOD, "utf-8")
    began = time.monotonic()
    done = epm("predict", path, "--address", "127.0.0.1:9", "--wait", 0.5)
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "epm serve" in done.stderr
    assert time.monotonic() - began < 10


def test_a_batch_of_no_rows_is_wrong_use(predict):
    assert predict(GOOD, "--batch", 0).returncode == 2
