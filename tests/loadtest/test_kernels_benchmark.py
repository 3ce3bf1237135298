"""The whole study for a moment; ways that differ are noticed; the page says what the figures say."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loadtest import machine
from loadtest.kernels import caches, page
from loadtest.kernels.case import Case, DifferentError, Effort
from loadtest.kernels.copying import bandwidth

ROOT = Path(__file__).parents[2]
EFFORT = Effort(2, 0.0)


def study(*arguments):
    command = [sys.executable, "-m", "loadtest.kernels", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_moment_of_everything_gives_figures_and_a_page(tmp_path):
    results, out = tmp_path / "figures.json", tmp_path / "docs" / "page.md"
    done = study("--quick", "--results", results, "--out", out)
    assert done.returncode == 0, done.stderr
    figures = json.loads(results.read_text())
    seen = {(case["kernel"], case["rows"]) for case in figures["cases"]}
    assert {("features", 1), ("forest", 64), ("cache", 1024), ("decode", 1), ("encode", 64)} <= seen
    assert all(len(us) == 3 for case in figures["cases"] for us in case["us"].values())
    assert all(rate > 0 for rates in figures["copy"]["gb_per_second"].values() for rate in rates)
    text = out.read_text()
    assert "## How far from the machine's limit" in text
    assert (out.parent / "images" / "kernels-performance.png").stat().st_size > 1000

    out.unlink()
    assert study("--report", "--results", results, "--out", out).returncode == 0
    assert out.read_text() == text


@pytest.fixture(scope="module")
def kept():
    return caches.Caches(ROOT / "model_repo")


@pytest.mark.integration
def test_a_table_that_answers_otherwise_is_not_measured(kept):
    known = kept.rows[-8:], kept.values[-8:]
    kept.check([known])
    with pytest.raises(DifferentError, match="another value"):
        kept.check([(known[0], known[1] + np.uint8(1))])


@pytest.mark.integration
def test_a_row_that_the_table_has_lost_is_noticed(kept):
    with pytest.raises(DifferentError, match="forgotten"):
        kept.look_up(kept.rows[:1] + np.float32(1e6))


@pytest.mark.unit
def test_what_a_way_contains_of_another_is_taken_off_and_not_shown(monkeypatch):
    spent = 0

    def burn(nanoseconds):
        def call(_):
            nonlocal spent
            spent += nanoseconds

        return call

    monkeypatch.setattr("loadtest.kernels.case.time.process_time_ns", lambda: spent)
    calls = {"ours": burn(60_000), "_part": burn(20_000), "other": burn(40_000)}
    case = Case("encode", "n", 1, calls, 10, {"ours": "_part"})
    found = case.measure(Effort(7, 0.003))["us"]
    assert list(found) == ["ours", "other"]
    assert found["ours"] == found["other"] == [40.0] * 7


@pytest.mark.unit
def test_every_call_has_other_rows_than_the_one_before():
    seen = []
    Case("k", "n", 1, {"ours": seen.append}, 1).measure(EFFORT)
    rounds = seen[-6:]
    assert rounds == [0, 1, 2, 2, 3, 4]


@pytest.mark.unit
def test_copying_counts_what_is_read_and_written():
    found = bandwidth(Effort(2, 0.001), memory=1 << 20)
    assert all(rate > 0 for rates in found.values() for rate in rates)
    assert {len(rates) for rates in found.values()} == {2}


def figures():
    """Ours twice as fast as the one, half as fast as the other of two ways; a copy of 1 GB/s."""
    us = {"ours": [10.0, 10.0], "plain Python": [20.0, 22.0], "protobuf alone": [1.0, 1.0]}
    slow = us | {"plain Python": [5.0, 5.0]}
    case = {"kernel": "decode", "name": "one", "rows": 1, "bytes": 1000, "us": us}
    return {
        "when": "2026-01-02",
        "command": "python -m loadtest.kernels",
        "machine": machine.describe(),
        "versions": {"pandas": "1"},
        "effort": {"rounds": 2, "seconds": 0.04},
        "copy": {"bytes": {"memory": 1 << 27, "cache": 1 << 18}, "gb_per_second": {"memory": [1.0], "cache": [9.0]}},
        "counted": {"decode": "bytes"},
        "cases": [case, case | {"name": "two", "us": slow}],
        "entry_bytes": {"ours": 48.0, "dict": 300.0},
        "entries": 100,
        "known_rows": 10,
        "value_bytes": 16,
        "row_bytes": 200,
    }


def written(made, folder):
    page.write(made, folder / "docs" / "kernels.md")
    return (folder / "docs" / "kernels.md").read_text()


@pytest.mark.unit
def test_the_table_has_ratio_and_share_of_the_copy(tmp_path):
    text = written(figures(), tmp_path)
    assert "| 1,000 | 0.10 | 10.0% | 2.10 x plain Python |" in text
    assert "| 0.50 x plain Python |" in text, "protobuf alone does less: it is no alternative"


@pytest.mark.unit
def test_where_ours_is_slower_is_said_with_a_reason(tmp_path):
    text = written(figures(), tmp_path)
    slower = " ".join(text.partition("## Where ours is slower")[2].split())
    assert "two, 1 row: 2.00 times the time of plain Python. The plain decoder believes" in slower
    assert "one, 1 row" not in slower
    made = figures()
    del made["cases"][1]
    assert "Nowhere in this run." in written(made, tmp_path)


@pytest.mark.unit
def test_the_same_figures_give_the_same_bytes_and_others_another_picture(tmp_path):
    made = figures()
    assert written(made, tmp_path / "a") == written(made, tmp_path / "b")
    pictures = [(tmp_path / name / "docs" / page.PICTURE).read_bytes() for name in ("a", "b")]
    assert pictures[0] == pictures[1]
    other = copy.deepcopy(made)
    other["cases"][0]["us"]["plain Python"] = [90.0, 90.0]
    written(other, tmp_path / "c")
    assert (tmp_path / "c" / "docs" / page.PICTURE).read_bytes() != pictures[0]


@pytest.mark.unit
def test_every_line_of_prose_is_short(tmp_path):
    lines = [line for line in written(figures(), tmp_path).splitlines() if not line.startswith("|")]
    assert max(map(len, lines)) <= 120


@pytest.mark.integration
def test_a_repository_without_a_model_is_told_in_one_line(tmp_path):
    done = study("--quick", "--model-repo", tmp_path, "--results", tmp_path / "r.json", "--out", tmp_path / "p.md")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("kernels: ")
    assert not (tmp_path / "p.md").exists()
