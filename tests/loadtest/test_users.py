"""`make loadtest` as its user sees it: it passes on the gateway, fails with a reason on one that is slow or refuses.

Everything runs in processes of its own: locust patches the standard library. Multiples are wide, as other tests run
beside these.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadtest.bench.process_tree import ProcessTree
from loadtest.users.__main__ import main
from loadtest.users.kinds import KINDS
from loadtest.users.thresholds import Thresholds
from tests.support.ports import free_ports

pytestmark = pytest.mark.integration

WIDE = ("--p50-times", "25", "--p99-times", "200", "--calls", "0.2")
WIDER = ("--p50-times", "100", "--p99-times", "1000", "--calls", "0.05")
SLOW = f"{sys.executable} -m tests.support.slow_gateway 60 --grpc-port 0 --http-port 0 --cache off --listener grpc_aio"
LOCUSTFILE = "loadtest/locustfile.py"


def users(out, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "loadtest.users", "--out", str(out), *arguments],
        capture_output=True,
        text=True,
        timeout=150,
    )


def test_the_gateway_passes_and_leaves_reports(tmp_path):
    done = users(tmp_path, "--seconds", "4", "--calibrate", "2", *WIDER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS: " in done.stdout
    assert "all thresholds kept" in done.stdout
    figures = json.loads((tmp_path / "gateway.json").read_text())
    names = {KINDS[name].name for name in KINDS.keys() - {"NightlyStream"}}  # which may take longer than all of this
    assert set(figures["kinds"]) >= names, done.stdout
    assert all(name in done.stdout for name in names)
    with (tmp_path / "gateway_stats.csv").open() as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    assert set(rows) >= names | {"Aggregated"}
    assert all(rows[name]["Type"] == "gRPC" and rows[name]["Failure Count"] == "0" for name in names)
    assert "epm.v1 Predict, 64 rows" in (tmp_path / "gateway.html").read_text("utf-8")


def test_a_gateway_that_was_slowed_down_fails_and_is_told_why(tmp_path):
    """By the default multiples; --calls is above the default, so that calls that do not come back are told as well."""
    done = users(tmp_path, "PageOnEpm", "PageOnTfServing", *("--gateway", SLOW, "--seconds", "4", "--calibrate", "3"),
                 *("--peak", "4", "--calls", "0.9"))  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL: " in done.stdout
    for kind in ("epm.v1 Predict, 1 row", "TF Serving Predict, 1 row"):
        (sentence,) = [line for line in done.stdout.splitlines() if line.startswith(f"  - {kind}: p50 was ")]
        assert "allowed are" in sentence
        assert f"{Thresholds().p50_times:g} times the" in sentence
        assert "of a bare echo under the same users" in sentence
    assert "calls came back, expected are at least" in done.stdout


def test_a_target_without_the_model_fails_and_is_told_the_status(small, tmp_path):
    asked = ("PageOnKServe", "DepartmentOnEpm", "NightlyStream")
    done = users(tmp_path, *asked, *("--target", small.grpc), *("--shape", "step", "--peak", "6", "--steps", "3"),
                 *("--seconds", "3", "--calibrate", "1"), *WIDE)  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    for kind in (KINDS[name].name for name in asked):
        assert any(f"- {kind}: " in line and "calls failed" in line and "NOT_FOUND)" in line
                   for line in done.stdout.splitlines()), done.stdout  # fmt: skip
    failed = (tmp_path / "gateway_failures.csv").read_text()
    assert "NOT_FOUND" in failed
    assert "performance_model" not in failed
    with (tmp_path / "gateway_stats_history.csv").open() as file:
        seen = [int(row["User Count"]) for row in csv.DictReader(file)]
    assert max(seen) == 6
    assert small.process.poll() is None


def test_locust_itself_keeps_absolute_thresholds_by_its_exit_code(echo, tmp_path):
    """And calls the host it is given, whatever proxy is set, but never another machine."""
    astray = dict.fromkeys(("http_proxy", "grpc_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")

    def run(*arguments, host=echo.address):
        command = (sys.executable, "-m", "locust", "-f", LOCUSTFILE, "PageOnEpm", "--headless", "-u", "2", "-t", "1s")
        more = ("--host", host, "--stop-timeout", "5", "--skip-log-setup", *arguments)
        environment = os.environ | astray | {"no_proxy": "", "NO_PROXY": "", "no_grpc_proxy": ""}
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, env=environment)

    broken = run("--p99-ms", "0.001")  # the echo's answers are no predictions
    assert broken.returncode == 1
    assert "WRONG_ANSWER" in broken.stdout
    assert "allowed are 0.001 ms (--p99-ms)" in broken.stdout
    kept = run("--failures", "1", "--p99-ms", "60000")
    assert kept.returncode == 0, kept.stdout
    assert "WRONG_ANSWER" in kept.stdout
    assert "UNAVAILABLE" not in kept.stdout
    elsewhere = run(host="192.0.2.1:8500")
    assert elsewhere.returncode == 1
    assert "192.0.2.1:8500: load is put on this machine only" in elsewhere.stderr


@pytest.mark.slow
def test_a_master_adds_up_what_its_workers_did(echo, tmp_path):
    port = str(free_ports(1)[0])
    locust = (sys.executable, "-m", "locust", "-f", LOCUSTFILE, "PageOnEpm", "Dashboard")
    worker = subprocess.Popen([*locust, "--worker", "--master-host", "127.0.0.1", "--master-port", port])
    try:
        master = ("--master", "--headless", "--expect-workers", "1", "--expect-workers-max-wait", "30")
        where = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--host", echo.address, "--echo")
        plan = ("--shape", "ramp", "--seconds", "3", "--peak", "6", "--floor", "2", "--stop-timeout", "5")
        command = [*locust, *master, *where, *plan, "--figures", str(tmp_path / "figures.json")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()
    figures = json.loads(Path(tmp_path / "figures.json").read_text())
    assert figures["kinds"]["epm.v1 Predict, 1 row"]["calls"] > 0
    assert not any(kind["failures"] for kind in figures["kinds"].values())
    assert figures["user_seconds"] > 0


def test_users_that_are_told_to_end_take_everything_they_started_with_them(tmp_path):
    command = [sys.executable, "-m", "loadtest.users", "PageOnEpm", "--calibrate", "120", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tree = ProcessTree(process.pid)
    try:
        assert within(60, lambda: len(tree.pids()) >= 4), "itself, the gateway, the echo, locust"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert within(10, lambda: not tree.pids())
    finally:
        tree.end(0)


def within(seconds, holds):
    give_up = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < give_up:
        time.sleep(0.05)
    return held


def test_wrong_use_is_told_in_a_line(tmp_path, capsys):
    for arguments, words in (
        (("--target", "192.0.2.1:8500"), "--target: got 192.0.2.1:8500, expected an address of this machine"),
        (("--peak", "100000"), "--peak: got 100000, expected 1 to 2000"),
        (("Nobody",), "users: got Nobody, expected some of PageOnTfServing"),
        (("--failures", "2"), "--failures: got 2, expected 0 to 1"),
        (("--calibrate", "0"), "--calibrate: got 0, expected 1 to 600"),
    ):
        with pytest.raises(SystemExit) as refused:
            main([*arguments, "--out", str(tmp_path)])
        assert refused.value.code == 2
        assert words in capsys.readouterr().err
    for arguments, words in (
        (("--model-repo", str(tmp_path)), "no version of the model there"),
        (("--gateway", "false", "PageOnEpm", "--calibrate", "1"), "before it was ready"),
    ):
        done = users(tmp_path, *arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
