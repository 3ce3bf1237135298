"""The whole benchmark of the online store in small sizes, and what it refuses."""

import json
import subprocess
import sys

import pytest

from loadtest.store.bulk import write_csv
from loadtest.store.page import ratios
from loadtest.store.people import MONTHLY, MONTHS

pytestmark = pytest.mark.integration


def store(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "loadtest.store", *map(str, arguments)], capture_output=True, text=True, timeout=240
    )


@pytest.mark.slow
def test_small_sizes_of_everything_give_figures_and_a_page(tmp_path):
    results, page = tmp_path / "figures.json", tmp_path / "docs" / "page.md"
    done = store("--quick", "--results", results, "--out", page)
    assert done.returncode == 0, done.stderr
    figures = json.loads(results.read_text())
    for model in ("performance_model", "monthly_model"):
        assert all(0 < ratio < 10 for where in ("in_process", "grpc") for ratio in ratios(figures, model, where))
    assert [run["rows"] for run in figures["calls"]["cold"]] == [1, 64, 1024]
    assert {run["round_trips_cold"] for run in figures["calls"]["cold"]} == {1}
    assert {run["round_trips_warm"] for run in figures["calls"]["cold"]} == {0}
    bulk = figures["bulk"]
    assert (bulk["load"]["applied"], bulk["again"]["applied"]) == (bulk["entities"], 0)
    assert bulk["tight"]["evictions"] > 0
    written = page.read_text()
    assert "## Bulk load" in written
    page.unlink()
    assert store("--report", "--results", results, "--out", page).returncode == 0
    assert page.read_text() == written


def test_without_a_model_it_says_so_and_fails(tmp_path):
    done = store("--quick", "--results", tmp_path / "r.json", "--out", tmp_path / "p.md", "--model-repo", tmp_path)
    assert done.returncode == 1
    assert "no version of the model" in done.stderr
    assert not (tmp_path / "p.md").exists()


def test_the_file_of_a_bulk_load_has_every_month_of_every_entity(tmp_path):
    write_csv(tmp_path / "facts.csv", 1001, seed=3)
    header, *lines = (tmp_path / "facts.csv").read_text().splitlines()
    assert header.split(",") == ["employee", "month", *MONTHLY]
    assert len(lines) == len({line.rsplit(",", len(MONTHLY))[0] for line in lines}) == 1001 * MONTHS
    assert (lines[0].split(",")[:2], lines[-1].split(",")[:2]) == (["E0000000", "2024-11"], ["E0001000", "2026-10"])
