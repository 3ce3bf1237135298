"""The benchmark of backends in small sizes, its page, and the wrong answers that it refuses."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from loadtest.answers import WrongAnswerError
from loadtest.backends import page
from loadtest.backends.rows import People

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2] / "model_repo"
MACHINE = {
    "cpu": "a processor",
    "cores": 2,
    "memory_gib": 8.0,
    "kernel": "6.0",
    "python": "3.11",
    "versions": {"numpy": "2"},
    "commit": "abc",
    "load_average_before": 0.1,
}
BATCHING = {
    "callers": 64,
    "rows_per_batch": 60.0,
    "calls_per_second_off": 400.0,
    "calls_per_second_on": 8000.0,
    "throughput_ratios": [19.0, 20.0, 21.0],
    "alone_p50_us_off": 2000.0,
    "alone_p50_us_on": 2300.0,
    "alone_p50_ratios": [1.05, 1.15, 1.25],
}


def backends(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "loadtest.backends", *map(str, arguments)], capture_output=True, text=True, timeout=240
    )


@pytest.mark.slow
def test_small_sizes_give_figures_and_a_page(tmp_path):
    results, out = tmp_path / "figures.json", tmp_path / "docs" / "page.md"
    where = ("--results", results, "--out", out)
    done = backends("--quick", "--only", "pipeline", "--only", "batching", *where)
    assert done.returncode == 0, done.stderr
    parts = json.loads(results.read_text())["parts"]
    assert list(parts) == ["pipeline", "batching"]
    on = next(run for run in parts["pipeline"]["figures"]["batching"]["many"] if run["batching"] == "on")
    assert on["rounds"][0]["rows_a_batch"] > 1
    assert all(min(one.seen) > 0 for one in page.asked(parts))
    written = out.read_text()
    assert "## What was asked, and what was seen" in written
    assert (out.parent / page.PICTURE).exists()
    out.unlink()
    assert backends("--report", *where).returncode == 0
    assert out.read_text() == written


def test_the_page_says_what_holds_what_does_not_and_where_it_loses(tmp_path):
    part = {"when": "2026-11-22", "machine": MACHINE, "figures": BATCHING}
    page.write({"command": "a command", "parts": {"batching": part}}, tmp_path / "page.md")
    written = (tmp_path / "page.md").read_text()
    assert "calls/s, on / off | at least 10 | 20.0 (19.0..21.0) | yes |" in written
    assert "p50, on / off | at most 1.1 | 1.15 (1.05..1.25) | **no** |" in written
    assert "p50 +15.0% with batching" in written
    assert "Triton's own" not in written


def test_without_models_it_says_so_and_fails(tmp_path):
    done = backends("--only", "cache", "--model-repo", tmp_path, "--results", tmp_path / "r", "--out", tmp_path / "p")
    assert done.returncode == 1
    assert "no version of the model" in done.stderr
    assert not (tmp_path / "p").exists()


@pytest.fixture(scope="module")
def people():
    return People(REPOSITORY, "attrition_model", seed=3)


def test_rows_differ_unless_they_are_meant_to_repeat(people):
    drawn, calls = people.calls(20, 64, pool=128, repeated=0.5)
    chosen = np.concatenate(list(calls))
    new = chosen[chosen >= 128]
    assert len(set(new)) == len(new)
    assert 0.4 < len(new) / len(chosen) < 0.6
    flat = np.concatenate([tensor.reshape(len(tensor), -1) for tensor in drawn.ready.values()], axis=1)
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_a_wrong_answer_is_noticed_and_an_undecided_label_is_none(people):
    drawn = people.draw(4)
    rows = slice(0, 4)
    answer = SimpleNamespace(
        served=SimpleNamespace(name="m"), tensors=dict(drawn.expected), margins=np.full(4, 0.3, np.float32)
    )
    drawn.check(answer, rows)
    other = replace(drawn, expected=drawn.expected | {"probability_3m": drawn.expected["probability_3m"] + 1e-3})
    with pytest.raises(WrongAnswerError, match="probability_3m differs"):
        other.check(answer, rows)
    answer.tensors["label"] = 1 - drawn.expected["label"]
    with pytest.raises(WrongAnswerError, match="label differs"):
        drawn.check(answer, rows)
    answer.margins[:] = 0
    drawn.check(answer, rows)
