"""The whole study of batch scoring on a small file, and what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.batch import child, page
from loadtest.batch.ways import WAYS, check_same
from loadtest.measure import MeasurementError

pytestmark = pytest.mark.integration


def batch(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "loadtest.batch", *map(str, arguments)], capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
def test_a_small_file_gives_figures_and_a_page(tmp_path):
    results, out = tmp_path / "figures.json", tmp_path / "docs" / "page.md"
    done = batch("--quick", "--results", results, "--out", out)
    assert done.returncode == 0, done.stderr
    figures = json.loads(results.read_text())
    cases = {(run["way"], run["rows"]) for run in figures["runs"]}
    assert cases == {(way.name, rows) for way in WAYS for rows in figures["conditions"]["rows"]}
    assert all(run["seconds"] > 0 and run["cpu_seconds"] > 0 and run["peak_mib"] > 10 for run in figures["runs"])
    written = out.read_text()
    assert "## Memory" in written
    out.unlink()
    assert batch("--report", "--results", results, "--out", out).returncode == 0
    assert out.read_text() == written


def test_without_a_model_it_says_so_and_fails(tmp_path):
    done = batch("--quick", "--results", tmp_path / "r.json", "--out", tmp_path / "p.md", "--model-repo", tmp_path)
    assert done.returncode == 1
    assert "no version of the model" in done.stderr


def test_other_answers_are_no_measurement(tmp_path):
    def answers(name, ids, share):
        path = tmp_path / name
        pq.write_table(pa.table({"employee": ids, "p0": np.array(share, np.float32)}), path)
        return path

    ids = ["E0000000", "E0000001"]
    expected = check_same(answers("a.parquet", ids, [0.25, 0.5]), 2, None)
    check_same(answers("b.parquet", ids, [0.250001, 0.5]), 2, expected)
    with pytest.raises(MeasurementError, match="other answers"):
        check_same(answers("c.parquet", ids, [0.2501, 0.5]), 2, expected)
    with pytest.raises(MeasurementError, match="order of the file"):
        check_same(answers("d.parquet", ids[::-1], [0.25, 0.5]), 2, expected)


def test_a_command_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(MeasurementError, match="ended with 3: sorry"):
        child.run([sys.executable, "-c", "print('sorry'); raise SystemExit(3)"], tmp_path / "log")


def test_memory_is_that_of_the_command_and_not_of_who_started_it(tmp_path):
    kept = bytearray(300 << 20)
    kept[::4096] = b"x" * len(kept[::4096])
    small = child.run([sys.executable, "-c", "import time; time.sleep(0.3)"], tmp_path / "log")
    large = "import time; b = bytearray(200 << 20); b[::4096] = b'x' * len(b[::4096]); time.sleep(0.3)"
    assert small.peak_mib < 100
    assert 200 < child.run([sys.executable, "-c", large], tmp_path / "log").peak_mib < 300


def figures():
    """Two sizes and rounds; `by_hand` has one round on the large file."""
    runs = []
    for place, way in enumerate(WAYS, 1):
        for rows, numbers in ((100, (0,)), (1000, (0,) if way.most_rounds == 1 else (0, 1))):
            for number in numbers:
                used = {
                    "seconds": place * rows / 100 + number,
                    "cpu_seconds": rows / 1e5,
                    "peak_mib": 100.0 + rows / 100,
                }
                runs.append({"way": way.name, "rows": rows, "round": number, **used})
    steps = ("cut into records and cells", "cells into columns", "columns into features", "forest")
    return {
        "when": "2026-01-02",
        "command": "python -m loadtest.batch",
        "machine": {
            "cpu": "c", "cores": 2, "memory_gib": 1.0, "kernel": "6", "python": "3.11", "versions": {"numpy": "2"},
            "commit": "abc", "load_average_before": 0.1,
        },
        "conditions": {
            "model": "m", "inputs": 20, "features": 51, "rows": [100, 1000], "rounds": 2, "chunk_rows": 16384,
            "megabytes": {"csv": 1.0},
        },
        "runs": runs,
        "stages": {**dict.fromkeys(steps, 1.0), "answers, in all": 3.0, "write": 2.0},
    }  # fmt: skip


def test_the_page_says_what_the_figures_say(tmp_path):
    page.write(figures(), tmp_path / "docs" / "page.md")
    text = (tmp_path / "docs" / "page.md").read_text()
    assert "| `epm score`, raw CSV to CSV | 95 (91..100) | 10.5 (10.0..11.0) | 10.0 (10.0..10.0) | 10.0 |" in text
    assert "| checks, margin, coverage, notes | 1.00 | 14% |" in text
    assert "The largest step: write." in " ".join(text.split())
    assert "| 101 | 110 | 1.09 |" in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120


def test_where_we_lose_the_page_says_so(tmp_path):
    made = figures()
    for run in made["runs"]:
        if run["way"] == "loop_8192":
            run["seconds"] = 1.0
    page.write(made, tmp_path / "page.md")
    assert "only 0.10 of the rows a second of" in (tmp_path / "page.md").read_text().replace("\n", " ")


def test_the_same_figures_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        page.write(figures(), tmp_path / name / "page.md")
    for name in ("page.md", page.PICTURE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
