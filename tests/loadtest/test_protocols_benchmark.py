"""The whole benchmark, for a moment, against the published model; and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.measure import MeasurementError
from loadtest.published import newest_version

pytestmark = pytest.mark.integration

REPO = Path("model_repo")


def performance(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "loadtest.protocols", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_a_moment_of_everything_gives_figures_and_a_page(tmp_path):
    results, page = tmp_path / "figures.json", tmp_path / "docs" / "page.md"
    done = performance("--quick", "--results", results, "--out", page, "--model-repo", REPO)
    assert done.returncode == 0, done.stderr
    figures = json.loads(results.read_text())
    cases = {(run["server"], run["protocol"], run["rows"]) for run in figures["rounds"]}
    assert len(cases) == len(figures["rounds"]) == 2 * 3 * 2
    assert all(run["calls"] > 0 and run["header_table_honoured"] for run in figures["rounds"])
    handled = {run["server"]: run["handler_us_per_call"] for run in figures["rounds"]}
    assert handled["echo"] is None
    assert 0 < handled["gateway"] < 1e6
    assert set(figures["stages"]) == {"tensorflow_serving", "kserve_v2", "epm_v1"}
    assert all({"decode", "model", "encode"} <= set(stages) for stages in figures["stages"].values())
    assert "## Where the time goes" in page.read_text()
    assert (page.parent / "images" / "protocols-performance.png").stat().st_size > 1000

    page.unlink()
    assert performance("--report", "--results", results, "--out", page).returncode == 0
    assert "## Where the time goes" in page.read_text()


def test_without_a_model_it_says_so_and_fails(tmp_path):
    done = performance(
        "--quick", "--results", tmp_path / "r.json", "--out", tmp_path / "p.md", "--model-repo", tmp_path
    )
    assert done.returncode == 1
    assert "no version of the model" in done.stderr
    assert not (tmp_path / "p.md").exists()


def test_the_newest_version_is_the_largest_number(tmp_path):
    for name in ("2", "10", "9", "notes", "1.tmp"):
        (tmp_path / name).mkdir()
    assert newest_version(tmp_path).name == "10"
    with pytest.raises(MeasurementError):
        newest_version(tmp_path / "2")
