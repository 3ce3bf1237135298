"""`epm score`: the answers of `epm predict` without a gateway, in the same words, and what it refuses."""

import csv
import io
import os
import stat
import subprocess
import sys
import tracemalloc

import pytest

from serving.batch import inputs
from tests.integration.commands import epm
from tests.support.models import INPUTS

pytestmark = pytest.mark.integration

GOOD = "employee,hours,overtime,department,remark\n张三,40,,研发,x\nE2,55,12.5,sales,y\nE3,30,8,,z\n"
ODD_CELLS = (
    "employee,hours,overtime,quality,department\n"
    'a, 40 ,1e1,nan," sales"\n'
    'b,4e1,+8,-0,"sa""les"\n'
    "c,40.000000000000001,.5,5.,研发 \n"
    'd,"40","",NaN,\u3000研发\n'
    '"e,""x""",40,0.30000000000000004,1e-320,0\n'
    '"f\ng",123456789012345678e-16,7,,\u00e4\n'
    "\n"
    "h,1E2,123.456789012345,4.9999999999999999,finance\r\n"
    "i\u2028,40,0x1,2,sales".replace("0x1", "1")
)


@pytest.fixture
def score(small_repository, tmp_path):
    """Write a file and score it: the finished command, and the text of the answers."""

    def run(content, *options, model="small", name="rows.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        out = tmp_path / "out.csv"
        done = epm("score", path, "--out", out, "--model", model, "--model-repo", small_repository, *options)
        assert "Traceback" not in done.stderr, done.stderr
        return done, out.read_text("utf-8") if out.exists() else None

    return run


def without_version(text):
    """The answers as `epm predict` prints them: it has no column with the version."""
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0][-1] == "version 版本"
    return [row[:-1] for row in rows]


def predicted(path, address, model, *options):
    done = epm("predict", path, "--model", model, "--address", address, "--format", "csv", *options)
    assert done.returncode == 0, done.stderr
    return list(csv.reader(io.StringIO(done.stdout)))


def test_people_get_the_answers_of_the_gateway_to_the_last_bit(performance, tmp_path):
    done = epm("score", "examples/employees.csv", "--out", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    expected = predicted("examples/employees.csv", performance.grpc, "performance_model")
    assert without_version((tmp_path / "out.csv").read_text("utf-8")) == expected
    assert len(expected) == 201


@pytest.mark.parametrize("chunk_rows", [1, 7, 100, 16384])
def test_histories_get_the_answers_of_the_gateway_whatever_stands_in_a_chunk(chunk_rows, performance, tmp_path):
    options = ("--id", "employee", "--month", "month")
    done = epm(
        "score", "examples/months.csv", "--out", tmp_path / "out.csv", "--model", "attrition_model", *options,
        "--chunk-rows", chunk_rows,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = predicted("examples/months.csv", performance.grpc, "attrition_model", *options)
    assert without_version((tmp_path / "out.csv").read_text("utf-8")) == expected


@pytest.mark.parametrize("model", ["small", "numbers"])
@pytest.mark.parametrize("content", [GOOD, ODD_CELLS], ids=["usual", "odd"])
@pytest.mark.parametrize("id_", ["employee", ""])
def test_cells_mean_what_they_mean_to_the_gateway(id_, content, model, score, small, tmp_path):
    done, text = score(content, "--id", id_, model=model)
    assert done.returncode == 0, done.stderr
    assert without_version(text) == predicted(tmp_path / "rows.csv", small.grpc, model, "--id", id_)


def test_a_file_as_spreadsheets_write_it_is_read(score):
    plain = score(GOOD)[1]
    spreadsheet = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    assert score(spreadsheet, "--overwrite")[1] == plain
    assert score(GOOD.replace("sales", '"sales"').rstrip("\n"), "--overwrite")[1] == plain
    assert score(GOOD.replace("\n", "\r"), "--overwrite")[1] == plain
    assert score(GOOD.replace("\nE2", "\n\n\nE2") + "\n\n", "--overwrite")[1] == plain


def test_only_the_owner_may_read_the_answers(score, tmp_path):
    score(GOOD.replace("12.5", "viel"), "--skip-bad")
    for name in ("out.csv", "out.csv.rejected.csv"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.csv.rejected.csv", "rows.csv"]


WRONG = [
    ("text for a number", GOOD.replace("12.5", "viel"), ["overtime", "line 3", "a number"], "viel"),
    ("infinity", GOOD.replace("12.5", "-1e400"), ["overtime", "line 3", "finite"], "1e400"),
    ("below what is physical", GOOD.replace("55", "-55"), ["hours", "line 3", "0 to 168"], "-55"),
    ("above what is physical", GOOD.replace("55", "1755"), ["hours", "line 3", "0 to 168"], "1755"),
    ("required", GOOD.replace("55", ""), ["hours", "line 3", "required"], "E2"),
    ("short line", GOOD + "E4,1\n", ["line 5", "as many cells"], "E4"),
    ("long line", GOOD + "E4,1,2,sales,z,z,z\n", ["line 5", "as many cells"], "E4"),
]


@pytest.mark.parametrize(("content", "said", "kept_secret"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_bad_row_stops_the_run_and_is_named_without_its_value(content, said, kept_secret, score, tmp_path):
    done, text = score(content)
    assert (done.returncode, text) == (1, None)
    assert [word for word in said if word not in done.stderr] == [], done.stderr
    assert kept_secret not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(("content", "said", "kept_secret"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_skipped_rows_are_listed_and_the_others_answered(content, said, kept_secret, score, tmp_path):
    everything = score(GOOD)[1].splitlines()
    done, text = score(content, "--skip-bad", "--overwrite")
    assert done.returncode == 0
    assert "1 without one" in done.stdout
    bad = int(next(word for word in said if word.startswith("line")).split()[1])
    assert text.splitlines() == [line for number, line in enumerate(everything, 1) if number != bad]
    rejected = (tmp_path / "out.csv.rejected.csv").read_text("utf-8")
    (row,) = csv.DictReader(io.StringIO(rejected))
    assert row["line"] == str(bad)
    assert kept_secret not in rejected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD.replace("employee", "person"), ["'employee'", "--id", "person"]),
        (GOOD.replace("hours", "h").replace("overtime", "o").replace("department", "d"), ["no column of small"]),
        (GOOD.replace("hours", "h"), ["hours", "required"]),
        ("", ["no column of small"]),
        (GOOD.replace("研发", "x").replace("张三", "李四").encode("gbk"), ["UTF-8"]),
        (GOOD.replace("overtime", "hours"), ["hours", "twice"]),
        ("employee,hours\n" + "a" * 200_000 + ",40\n", ["line 2", "quote"]),
        ('employee,hours\n"' + "a,\n" * 12_000_000, ["line 2", "quote"]),
    ],
    ids=["no id", "no known column", "no required column", "empty", "not UTF-8", "twice", "long cell", "open quote"],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_one_sentence(content, said, score, tmp_path):
    done, text = score(content, "--skip-bad")
    assert (done.returncode, text) == (1, None)
    assert len(done.stderr.splitlines()) <= 2
    assert [word for word in said if word not in done.stderr] == [], done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_columns_without_a_name_are_left_alone(score):
    plain = score(GOOD)[1]
    done, text = score("".join(f"{line},,\n" for line in GOOD.splitlines()), "--overwrite")
    assert done.returncode == 0, done.stderr
    assert text == plain


def test_a_first_line_that_is_no_header_is_not_shown(score):
    done, _ = score("\n".join(GOOD.splitlines()[1:]))
    assert done.returncode == 1
    assert "no column of small" in done.stderr
    assert "E2" not in done.stderr
    assert "张三" not in done.stderr


def test_the_input_is_not_replaced_by_the_list_of_rejected_rows(score, tmp_path):
    for options in (("--skip-bad", "--overwrite"), ("--overwrite",)):
        done, text = score(GOOD, *options, name="out.csv.rejected.csv")
        assert (done.returncode, text) == (2, None)
        assert (tmp_path / "out.csv.rejected.csv").read_text("utf-8") == GOOD


def test_a_folder_is_no_output_from_the_start(score, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for out in (tmp_path / "folder.csv", "/", "."):
        done, _ = score(GOOD, "--out", out, "--out-format", "csv", "--overwrite")
        assert done.returncode == 2, done.stderr
        assert "folder" in done.stderr


def test_long_texts_are_read_and_not_remembered():
    department = INPUTS[3]
    unknown = len(department.categories)
    tracemalloc.start()
    try:
        read = inputs._remembering(department)
        assert [read(f"{number:0100000}") for number in range(200)] == [unknown] * 200
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_file_without_rows_gives_a_header(score):
    done, text = score("employee,hours\n")
    assert done.returncode == 0
    assert "no rows" in done.stderr
    assert text.startswith("employee,grade,P(A),")
    assert text.count("\n") == 1


def test_standard_input_is_read_to_its_end(small_repository, score, tmp_path):
    expected = score(GOOD)[1]
    out = tmp_path / "piped.csv"
    command = ["score", "-", "--out", out, "--model", "small", "--model-repo", small_repository, "--chunk-rows", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "serving.cli", *map(str, command)], input=GOOD.encode(), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert out.read_text("utf-8") == expected


def test_nothing_that_is_there_is_replaced_unasked(score):
    first = score(GOOD)[1]
    done, text = score(GOOD.replace("55", "20"))
    assert done.returncode == 1
    assert "--overwrite" in done.stderr
    assert text == first
    done, text = score(GOOD.replace("55", "20"), "--overwrite")
    assert done.returncode == 0
    assert text != first


def test_an_entity_whose_months_are_wrong_is_one_rejected_row(tmp_path):
    header, *lines = open("examples/months.csv").read().splitlines()  # noqa: SIM115
    ids = [line.split(",")[0] for line in lines]
    third = next(number for number, id_ in enumerate(ids) if id_ != ids[0])
    broken = [*lines[: third + 1], lines[third], *lines[third + 1 :]]
    path = tmp_path / "months.csv"
    path.write_text("\n".join([header, *broken]) + "\n")
    options = ("--model", "attrition_model", "--month", "month", "--out", tmp_path / "out.csv")
    done = epm("score", path, *options)
    assert done.returncode == 1
    assert f"line {third + 3}" in done.stderr
    assert "later month" in done.stderr
    done = epm("score", path, *options, "--skip-bad", "--chunk-rows", 30)
    assert done.returncode == 0, done.stderr
    answered = [row["employee"] for row in csv.DictReader((tmp_path / "out.csv").open())]
    assert answered == [id_ for id_ in dict.fromkeys(ids) if id_ != ids[third]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--chunk-rows", "0"), "--chunk-rows"),
        (("--month", "m", "--id", ""), "--month"),
        (("--format", "parquet"), "Parquet"),
        (("--model", "nobody"), "nobody"),
        (("--model-version", "9"), "no version 9"),
    ],
)
def test_wrong_use_is_one_sentence(options, said, score):
    done, text = score(GOOD, *options)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert text is None


def test_a_full_disk_is_said_and_loses_nothing(small_repository, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("employee,hours\n" + "".join(f"E{number},40\n" for number in range(5000)))
    command = f"ulimit -f 40; exec {sys.executable} -m serving.cli score {path} --model small --chunk-rows 4"
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {command} --model-repo {small_repository}"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 1, done.stderr
    assert "start the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    done = epm("score", path, "--model", "small", "--chunk-rows", 4, "--model-repo", small_repository)
    assert "going on after" in done.stderr
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "rows.scored.csv").read_text("utf-8").splitlines()) == 5001
