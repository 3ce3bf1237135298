"""The same kernels built with checks of every access (NUMBA_BOUNDSCHECK=1) do the same, and go nowhere outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.h2.outside import KERNELS

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


def test_a_callback_that_goes_outside_ends_the_process_and_says_why(tmp_path: Path) -> None:
    done = run("tests.h2.outside", "called", EPM_JIT_CACHE_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (70, "")
    assert "IndexError" in done.stderr


def test_a_test_in_whose_process_one_goes_outside_fails(tmp_path: Path) -> None:
    (tmp_path / "test_outside.py").write_text("from tests.h2.outside import main\ndef test(): main('called')\n")
    options = ("-p", "no:cacheprovider", "-c", "setup.cfg", "--rootdir", str(ROOT))
    done = run("pytest", *options, str(tmp_path), EPM_JIT_CACHE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "IndexError" in done.stdout
