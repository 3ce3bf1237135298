"""A loop that fails ends its process: a gateway that listens and does not answer would be worse."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from serving import cli
from serving.listeners.h2 import loop_kernels

class Broken:
    compile = staticmethod(loop_kernels.run.compile)

    def __call__(self, address):
        raise IndexError("index is out of bounds")

loop_kernels.run = Broken()
sys.exit(cli.main(sys.argv[1:]))
"""


def test_the_process_ends_with_status_70_and_says_why(small_repository: Path) -> None:
    options = (f"--model-repo={small_repository}", "--grpc-port=0", "--http-port=0", "--listener=h2")
    command = [sys.executable, "-c", PROGRAM, "serve", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 70, done.stderr[-3000:]
    assert "a loop ended: the process ends, too" in done.stderr
    assert "index is out of bounds" in done.stderr
