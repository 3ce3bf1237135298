"""`epm score` on Parquet: every column type means what the same cells mean in CSV."""

import csv
import datetime
import decimal
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.batch.parquet_source import ArrowLines
from tests.integration.commands import epm

pytestmark = pytest.mark.integration

IDS = ["a", 'b,"c"', None, "d", "e"]
HOURS = [40, 35, 20, 168, 1]
OVERTIME = [1.5, None, float("nan"), 0.0, 80.25]
DEPARTMENT = ["sales", None, "", "研发", "elsewhere"]
TABLES = {
    "plain": {"hours": pa.array(HOURS, pa.int64()), "overtime": pa.array(OVERTIME), "department": pa.array(DEPARTMENT)},
    "small types": {
        "hours": pa.array(HOURS, pa.uint8()),
        "overtime": pa.array(OVERTIME, pa.float32()),
        "department": pa.array(DEPARTMENT, pa.large_string()).dictionary_encode(),
    },
    "texts": {
        "hours": pa.array([f" {hour} " for hour in HOURS]),
        "overtime": pa.array(["1.5", "", "nan", "0e0", "80.25"]),
        "department": pa.array(DEPARTMENT).dictionary_encode(),
    },
    "decimals": {
        "hours": pa.array(HOURS, pa.decimal128(9, 3)),
        "overtime": pa.array(OVERTIME),
        "department": pa.array(DEPARTMENT),
    },
}


@pytest.fixture
def score(small_repository, tmp_path):
    def run(table, *options, out="out.csv"):
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.table(table), path, row_group_size=2)
        return epm(
            "score", path, "--model", "small", "--out", tmp_path / out, "--model-repo", small_repository, *options
        )

    return run


@pytest.fixture
def expected(small_repository, tmp_path):
    """The answers to the same rows in CSV."""
    path = tmp_path / "same.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["employee", "hours", "overtime", "department"])
        writer.writerows(zip(IDS, HOURS, OVERTIME, DEPARTMENT, strict=True))
    assert epm("score", path, "--model", "small", "--model-repo", small_repository).returncode == 0
    return (tmp_path / "same.scored.csv").read_bytes()


@pytest.mark.parametrize("chunk_rows", [1, 3, 100])
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_columns_of_every_type_have_the_answers_of_the_same_cells_in_csv(table, chunk_rows, score, expected, tmp_path):
    done = score({"employee": IDS, **table}, "--chunk-rows", chunk_rows)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_bytes() == expected


def test_answers_as_parquet_are_those_of_csv(score, tmp_path):
    table = {"employee": IDS, **TABLES["plain"]}
    assert score(table).returncode == 0
    assert score(table, out="out.parquet").returncode == 0
    made = pq.read_table(tmp_path / "out.parquet")
    rows = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert made.column_names == list(rows[0])
    assert [str(kind) for kind in made.schema.types] == ["string", "string", *["float"] * 5, "string", "int64"]
    for name in made.column_names:
        exact = np.float32 if made.schema.field(name).type == pa.float32() else str
        assert [str(exact(value)) for value in made.column(name).to_pylist()] == [row[name] for row in rows], name


def test_row_numbers_stand_in_for_ids(score, tmp_path):
    assert score(TABLES["plain"], "--id", "").returncode == 0
    rows = list(csv.reader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert [row[0] for row in rows] == ["row", "1", "2", "3", "4", "5"]


def test_decimals_are_read_to_the_nearest_number_as_in_csv():
    cells = [decimal.Decimal(cell) for cell in ("-6393187.3", "97305.3", "0.3", "-0.1")]
    lines = ArrowLines(pa.table({"x": pa.array([*cells, None], pa.decimal128(9, 1))}), 1, True)
    values, wrong = lines.numbers("x")
    np.testing.assert_array_equal(values, [*map(float, cells), np.nan])
    assert not wrong.size


@pytest.mark.parametrize("name", ["employee", "department"])
def test_texts_that_are_not_utf_8_are_one_sentence(name, score, tmp_path):
    texts = pa.array([b"nobody\xff", b"b", b"c", b"d", b"e"])
    broken = pa.StringArray.from_buffers(5, *texts.buffers()[1:])
    done = score({"employee": IDS, **TABLES["plain"], name: broken})
    assert done.returncode == 1
    assert "cannot be read as Parquet" in done.stderr
    assert "nobody" not in done.stderr
    assert "Traceback" not in done.stderr


def test_ids_are_not_lost_in_a_column_of_answers(score, tmp_path):
    done = score({"grade": IDS, **TABLES["plain"]}, "--id", "grade", out="out.parquet")
    assert done.returncode == 1
    assert "grade" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"department": pa.array([0, 1, 2, 0, 1])}, ["department", "whole numbers", "texts"]),
        ({"hours": pa.array([datetime.date(2026, 1, 1)] * 5)}, ["hours", "days", "numbers"]),
        ({"hours": pa.array([[1.0]] * 5)}, ["hours", "list<"]),
        ({"employee": pa.array([1.0] * 5)}, ["employee", "fractions"]),
        ({"hours": pa.array([1.0, 2, 3, float("inf"), 5])}, ["hours", "row 4", "finite"]),
        ({"hours": pa.array([1.0, 2, 3, None, 5])}, ["hours", "row 4", "required"]),
    ],
)
def test_a_column_that_cannot_be_meant_is_named(columns, said, score):
    done = score({"employee": IDS, **TABLES["plain"], **columns})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [word for word in said if word not in done.stderr] == [], done.stderr


def test_what_is_no_parquet_says_so(small_repository, tmp_path):
    (tmp_path / "rows.parquet").write_text("employee,hours\n")
    done = epm("score", tmp_path / "rows.parquet", "--model", "small", "--model-repo", small_repository)
    assert done.returncode == 1
    assert "cannot be read as Parquet" in done.stderr


def test_without_pyarrow_it_says_what_to_install(small_repository, tmp_path):
    pq.write_table(pa.table({"employee": IDS, **TABLES["plain"]}), tmp_path / "rows.parquet")
    away = tmp_path / "away"
    (away / "pyarrow").mkdir(parents=True)
    (away / "pyarrow" / "__init__.py").write_text("raise ImportError('not installed')\n")
    path = os.pathsep.join(filter(None, [str(away), os.environ.get("PYTHONPATH", "")]))
    done = epm(
        "score", tmp_path / "rows.parquet", "--model", "small", "--model-repo", small_repository, PYTHONPATH=path
    )
    assert done.returncode == 1
    assert "epm-serving[parquet]" in done.stderr
