"""A gateway that is told to end before it serves, at whatever moment, ends with 0 and does not wait for its start."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.metrics import until
from tests.support.ports import free_ports

pytestmark = pytest.mark.integration

TERM = 1 << (signal.SIGTERM - 1)


@contextlib.contextmanager
def starting(repository, *, http_port=0, **environment):
    """A gateway that was just started: its process."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("EPM_") or "JIT" in name}
    options = {"model-repo": repository, "grpc-port": 0, "http-port": http_port}
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.cli", "serve", *(f"--{name}={value}" for name, value in options.items())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _takes_signals(process) -> bool:
    """Whether it has a handler for SIGTERM: before, Python itself is not there yet."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) & TERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_kernels_are_compiled_ends_it_before_they_are(number, small_repository, tmp_path):
    (port,) = free_ports(1)
    with starting(small_repository, http_port=port, EPM_JIT_CACHE_DIR=str(tmp_path)) as process:
        assert until(lambda: _is_alive(port), 120), "probes are answered while the gateway starts"
        process.send_signal(number)
        out, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "told to end before it was ready" in log
    assert "Traceback" not in log
    assert out == ""


@pytest.mark.parametrize("late", [0, 0.1, 0.3, 0.6, 1, 1.5, 2, 3])
def test_a_signal_at_any_moment_of_the_start_ends_it_with_0(late, small_repository):
    with starting(small_repository) as process:
        assert until(lambda: _takes_signals(process), 60)
        time.sleep(late)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert "Traceback" not in log


def test_a_signal_that_comes_with_the_line_ready_drains_it(small_repository):
    for _ in range(5):
        with starting(small_repository) as process:
            assert process.stdout.readline().startswith("ready ")
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "draining, at most 20 s" in log


def _is_alive(port):
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
        return answer.status == 200
    return False
