"""`make run` as the README has it: a table, then serving until Ctrl-C; or an end at once, with the reason."""

import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def run(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["make", "run"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_sample_is_scored_and_the_gateway_serves_until_interrupted() -> None:
    process = run(EPM_GRPC_PORT="0", EPM_HTTP_PORT="0")
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C ends it" in line:
            break
    scored = [line.split() for line in lines if line.startswith("E0")]
    assert len(scored) == 200
    assert {row[1] for row in scored} <= {"A", "B", "C"}
    assert all(sum(map(float, row[2:5])) == pytest.approx(1, abs=0.002) for row in scored)
    http = lines[-1].split("HTTP on ")[1].split(";")[0]
    assert urllib.request.urlopen(f"http://{http}/readyz", timeout=10).status == 200
    os.killpg(process.pid, signal.SIGINT)
    assert "draining" in process.communicate(timeout=60)[0]


def test_a_gateway_that_cannot_start_ends_it_at_once_with_the_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = run(EPM_GRPC_PORT=str(taken.getsockname()[1]), EPM_HTTP_PORT="0")
        output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "cannot listen for gRPC" in output
    assert "employee" not in output
