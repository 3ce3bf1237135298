"""The same kernels built with checks of every access (NUMBA_BOUNDSCHECK=1) do the same, and go nowhere outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.h2.outside import KERNELS
from tests.support.gateways import STUMBLED

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
CHECKED = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
"""Compiled kernels lie in the same folder as the others: their names tell which build they are of (`serving.jit`)."""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env={**CHECKED, **environment}, capture_output=True, text=True
    )


def test_a_place_outside_of_an_array_is_found_whatever_the_array_is(tmp_path: Path) -> None:
    done = run("tests.h2.outside", *KERNELS, EPM_JIT_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_a_callback_that_goes_outside_answers_0_and_says_so(tmp_path: Path) -> None:
    done = run("tests.h2.outside", "called", EPM_JIT_CACHE_DIR=str(tmp_path))
    assert done.stdout == "[7, 0]\n"
    assert all(word in done.stderr for word in STUMBLED)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # it compiles everything once more
@pytest.mark.parametrize("tests", ["tests/h2", "tests/conformance"])
def test_nothing_goes_outside(tests: str) -> None:
    """All tests of the compiled listener, and what every client may rely on, asked of it."""
    done = run(
        "pytest",
        tests,
        "-q",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        "--timeout=900",
        f"--ignore={Path(__file__).relative_to(ROOT)}",
        EPM_LISTENER="h2",
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    assert not any(word in said for word in STUMBLED), said[-5000:]
