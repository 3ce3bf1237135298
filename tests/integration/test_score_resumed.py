"""`epm score` killed at any moment and started again: the same bytes as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.batch.partial import Partial
from tests.integration.commands import epm

pytestmark = pytest.mark.integration

ROWS, MANY_ROWS = 6000, 40_000
"""Many take long enough (more than a hundred parts) to be killed in between on a busy machine, too."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write(tmp_path_factory.mktemp("rows") / "rows.csv", ROWS)


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory):
    return write(tmp_path_factory.mktemp("rows") / "rows.csv", MANY_ROWS)


def write(path, count):
    """A file with good rows, bad ones, and quotes with line ends in them."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("employee,hours,overtime,department\n")
        for number in range(count):
            hours = "x" if draw.random() < 0.01 else round(draw.uniform(0, 168), 2)
            name = f'"E ""one\n"" {number}"' if draw.random() < 0.05 else f"E{number}"
            file.write(f"{name},{hours},{draw.choice(['', 3, 7.5])},{draw.choice(['sales', '研发', ''])}\n")
    return path


def command(rows, repository, out, *options):
    options = ("--model", "small", "--skip-bad", "--chunk-rows", "20", *options)
    return ("score", rows, "--out", out, "--model-repo", repository, *options)


def answers(out):
    return out.read_bytes(), out.with_name(f"{out.name}.rejected.csv").read_bytes()


def killed(arguments, out, parts):
    """Run and kill with SIGKILL when about so many parts are finished; False when it was over before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.cli", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    state = out.with_name(f"{out.name}.partial") / "state.json"
    while process.poll() is None:
        try:
            found = json.loads(state.read_bytes())
        except FileNotFoundError:
            found = {"parts": 0}
        if found["parts"] >= parts:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.0005)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_killed_again_and_again_it_gives_the_bytes_of_an_uninterrupted_run(kind, many_rows, small_repository, tmp_path):
    whole, out = tmp_path / f"whole.{kind}", tmp_path / f"out.{kind}"
    done = epm(*command(many_rows, small_repository, whole))
    assert done.returncode == 0, done.stderr
    kills = sum(killed(command(many_rows, small_repository, out), out, parts) for parts in (1, 50, 100))
    done = epm(*command(many_rows, small_repository, out, *([] if not out.exists() else ["--overwrite"])))
    assert done.returncode == 0, done.stderr
    assert kills > 1
    assert "going on after" in done.stderr
    assert answers(out) == answers(whole)
    assert not out.with_name(f"{out.name}.partial").exists()


@pytest.mark.parametrize("chunk_rows", [1, 3, 999, 100_000])
def test_any_size_of_a_chunk_gives_the_same_answers(chunk_rows, rows, small_repository, tmp_path):
    for name, size in (("a", 20), ("b", chunk_rows)):
        done = epm(*command(rows, small_repository, tmp_path / f"{name}.csv", "--chunk-rows", size))
        assert done.returncode == 0, done.stderr
    assert answers(tmp_path / "a.csv") == answers(tmp_path / "b.csv")


def test_an_interrupted_run_goes_on_only_with_the_same_input_model_and_options(many_rows, small_repository, tmp_path):
    copy, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    copy.write_bytes(many_rows.read_bytes())
    assert killed(command(copy, small_repository, out), out, 3)
    done = epm(*command(copy, small_repository, out, "--id", ""))
    assert done.returncode == 1
    assert "--id was employee, now it is none" in done.stderr
    assert "--restart" in done.stderr
    done = epm(*command(copy, small_repository, out, "--model-version", 1))
    assert "the model was small version 2" in done.stderr
    with copy.open("a") as file:
        file.write("last,40,1,sales\n")
    done = epm(*command(copy, small_repository, out))
    assert done.returncode == 1
    assert "the input was" in done.stderr
    done = epm(*command(copy, small_repository, out, "--restart"))
    assert done.returncode == 0, done.stderr
    assert out.read_text("utf-8").splitlines()[-1].startswith("last,")


def test_a_bad_row_keeps_what_is_finished_and_skip_bad_goes_on(small_repository, tmp_path):
    path, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_text("employee,hours\n" + "E,40\n" * 1000 + "bad,x\n" + "E,41\n" * 1000)
    options = ("--model", "small", "--chunk-rows", 10, "--model-repo", small_repository, "--out", out)
    done = epm("score", path, *options)
    assert done.returncode == 1
    assert "line 1002" in done.stderr
    assert "1,000 rows are finished" in done.stderr
    done = epm("score", path, *options, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "going on after 1,000 rows" in done.stderr
    assert "2,000 rows have an answer" in done.stdout
    assert len(out.read_text("utf-8").splitlines()) == 2001


def test_ctrl_c_says_how_to_go_on(rows, small_repository, tmp_path):
    out = tmp_path / "out.csv"
    arguments = command(rows, small_repository, out, "--chunk-rows", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.cli", *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "out.csv.partial" / "state.json").exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "start the same command again to go on" in said
    assert "Traceback" not in said
    assert epm(*arguments).returncode == 0


def test_two_runs_do_not_write_one_output(rows, small_repository, tmp_path):
    out = tmp_path / "out.csv"
    with Partial(out):
        done = epm(*command(rows, small_repository, out))
    assert done.returncode == 1
    assert "another process" in done.stderr


def test_a_run_that_was_killed_between_merging_and_moving_only_moves(many_rows, small_repository, tmp_path):
    out, whole = tmp_path / "out.csv", tmp_path / "whole.csv"
    assert epm(*command(many_rows, small_repository, whole)).returncode == 0
    assert killed(command(many_rows, small_repository, out), out, 3)
    state = tmp_path / "out.csv.partial" / "state.json"
    found = json.loads(state.read_bytes())
    state.write_text(json.dumps({**found, "merged": True}))
    os.rename(whole, state.with_name("answers"))
    os.rename(tmp_path / "whole.csv.rejected.csv", tmp_path / "out.csv.rejected.csv")
    done = epm(*command(many_rows, small_repository, out))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.csv.rejected.csv"]


def test_a_state_that_cannot_be_read_is_refused(rows, small_repository, tmp_path):
    out = tmp_path / "out.csv"
    (tmp_path / "out.csv.partial").mkdir()
    (tmp_path / "out.csv.partial" / "state.json").write_text("{")
    done = epm(*command(rows, small_repository, out))
    assert done.returncode == 1
    assert "--restart" in done.stderr
    assert epm(*command(rows, small_repository, out, "--restart")).returncode == 0


@pytest.mark.parametrize("chunk_rows", [3, 100_000])
def test_an_id_that_stands_in_two_places_is_refused_also_by_a_run_that_goes_on(chunk_rows, tmp_path):
    header, *lines = (Path(__file__).parents[2] / "examples/months.csv").read_text("utf-8").splitlines()
    path, out = tmp_path / "months.csv", tmp_path / "out.csv"
    path.write_text("\n".join([header, *lines, lines[0]]) + "\n", "utf-8")
    options = ("--model", "attrition_model", "--month", "month", "--out", out, "--chunk-rows", chunk_rows)
    for _ in range(2):
        done = epm("score", path, *options, "--skip-bad")
        assert done.returncode == 1
        assert f"line {len(lines) + 2}" in done.stderr
        assert "has stood above" in done.stderr
        assert "E1001" not in done.stderr
