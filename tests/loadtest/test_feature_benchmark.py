"""All implementations of the two programs give the same features; the page says what was found."""

import json
import subprocess
import sys

import numpy as np
import pytest

from loadtest.features import by_hand, page
from loadtest.features.measure import GATEWAY, LIBRARIES, DifferentError, calls, check_same, matrices, works
from serving.features.operations import OPERATIONS
from serving.features.program import compile_program, run_reference
from serving.features.rows import RawRows

pytestmark = pytest.mark.integration

FACTS, HISTORIES = works()
FIGURE = {"median_us": 1.0, "least_us": 1.0, "calls": 3}


@pytest.mark.parametrize("work", [FACTS, HISTORIES], ids=lambda work: work.name)
@pytest.mark.parametrize(("rows", "seed"), [(1, 0), (1, 1), (2, 2), (700, 3)])
def test_all_implementations_give_the_same_features(work, rows, seed):
    check_same(calls(work, work.make(rows, seed)))


@pytest.mark.parametrize("work", [FACTS, HISTORIES], ids=lambda work: work.name)
def test_rows_in_which_everything_is_missing(work):
    raw = work.make(3, 0)
    raw.values[:] = np.nan
    raw.history[:] = np.nan
    check_same(calls(work, raw))


@pytest.mark.parametrize("work", [FACTS, HISTORIES], ids=lambda work: work.name)
def test_the_hand_written_function_gives_what_the_reference_gives(work):
    raw = work.make(500, 4)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = matrices(run_reference(work.contract, RawRows(raw.values, raw.history)))
    found = matrices(by_hand.facts(raw) if work is FACTS else by_hand.histories(raw))
    for here, there in zip(expected, found, strict=True):
        np.testing.assert_array_max_ulp(here, there, maxulp=1)


@pytest.mark.parametrize("work", [FACTS, HISTORIES], ids=lambda work: work.name)
def test_the_rows_have_what_real_rows_have(work):
    raw = work.make(2000, 5)
    assert 0.05 < np.isnan(raw.values).mean() < 0.15
    if raw.history.size:
        months = ~np.isnan(raw.history).all(axis=1)
        assert 0.2 < (~months[:, 0]).mean() < 0.5, "some rows have shorter histories"
        assert not months.all(axis=1).all()
    assert not np.array_equal(work.make(50, 6).values, work.make(50, 7).values, equal_nan=True)


def test_the_programs_are_as_large_as_promised():
    steps = FACTS.contract.program.steps
    assert len(steps) >= 30
    assert len({step.op for step in steps}) >= 12
    monthly = {name for name, operation in OPERATIONS.items() if operation.of_history}
    steps = HISTORIES.contract.program.steps
    assert monthly <= {step.op for step in steps}
    assert sum(step.op in monthly for step in steps) >= 15
    assert HISTORIES.contract.program.window


def test_other_features_are_noticed():
    made = calls(FACTS, FACTS.make(5, 0))
    program, raw = compile_program(FACTS.contract), FACTS.make(5, 1)
    made["polars"] = lambda: program.run(RawRows(raw.values, raw.history)).features
    with pytest.raises(DifferentError, match="polars"):
        check_same(made)


@pytest.mark.slow
def test_a_moment_of_everything_gives_figures_and_a_page(tmp_path):
    results, out = tmp_path / "figures.json", tmp_path / "docs" / "page.md"
    command = [sys.executable, "-m", "loadtest.features", "--quick", "--rows", "1", "40"]
    done = subprocess.run(
        [*command, "--results", results, "--out", out], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(results.read_text())
    assert [(case["program"], case["rows"]) for case in figures["cases"]] == [
        (name, rows) for name in ("facts", "histories") for rows in (1, 40)
    ]
    assert all(found["median_us"] > 0 for case in figures["cases"] for found in case["times"].values())
    assert "## Targets" in out.read_text()
    assert (out.parent / "images" / "features-performance.png").stat().st_size > 1000

    out.unlink()
    again = [*command, "--report", "--results", results, "--out", out]
    assert subprocess.run(again, capture_output=True, timeout=120, check=False).returncode == 0
    assert "## Targets" in out.read_text()


def test_a_target_is_met_or_not():
    times = dict.fromkeys((GATEWAY, "by hand", *LIBRARIES), FIGURE)
    slow = times | {"pandas": FIGURE | {"median_us": 5000.0}}
    assert [met for _, _, met in page.targets({"program": "p", "rows": 1, "times": slow})] == [True, False, True]
    (what, found, met), _ = page.targets({"program": "p", "rows": 10_000, "times": slow})
    assert not met
    assert found == 1.0
    assert "pandas" not in what, "the best of the three counts"
    slow = times | {GATEWAY: FIGURE | {"median_us": 2.5}}
    assert page.targets({"program": "p", "rows": 10_000, "times": slow})[1][1:] == (2.5, False)
