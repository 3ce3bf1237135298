"""What a process and its children use, read from real ones."""

import os
import signal
import subprocess
import sys
import time

import pytest

from loadtest.bench.process_tree import ProcessTree

pytestmark = pytest.mark.integration

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


@pytest.fixture
def tree():
    """Starts a program in a session of its own; gives its tree once it has printed a line."""
    started = []

    def start(code):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        started.append(process)
        process.stdout.readline()
        return ProcessTree(process.pid)

    yield start
    for process in started:
        ProcessTree(process.pid).end(0)
        process.wait()
        process.stdout.close()


def test_processor_time_of_children_counts_also_after_they_have_ended(tree):
    child = BURN.format(seconds=0.4)
    running = tree(
        "import subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {child!r}])\nprint(flush=True)\ntime.sleep(60)"
    )
    used = running.usage()
    assert used.processes == 1
    assert used.cpu_seconds >= 0.39
    assert running.cpu_seconds() >= used.cpu_seconds


def test_processor_time_of_a_child_that_runs_counts(tree):
    child = BURN.format(seconds=0.4) + "time.sleep(60)"
    running = tree(
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\nprint(flush=True)\ntime.sleep(60)"
    )
    until = time.monotonic() + 60
    while running.cpu_seconds() < 0.39 and time.monotonic() < until:
        time.sleep(0.05)
    assert running.usage().cpu_seconds >= 0.39
    assert running.usage().processes == 2


def test_a_page_that_two_processes_share_is_counted_once(tree):
    mib = 64
    running = tree(
        "import os, time\n"
        f"block = bytearray({mib} << 20)\nblock[::4096] = b'1' * len(block[::4096])\n"
        "os.fork()\nprint(flush=True)\ntime.sleep(60)"
    )
    until = time.monotonic() + 10
    while len(running.pids()) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    used = running.usage()
    assert used.processes == 2
    assert mib < used.memory_mib < 2 * mib


def test_a_file_that_others_map_as_well_counts_in_full(tree, tmp_path):
    file, mib = tmp_path / "library", 64
    file.write_bytes(b"x" * (mib << 20))
    program = (
        "import mmap, sys, time\n"
        f"file = open({str(file)!r}, 'rb')\nmapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "sum(mapped[::4096])\nprint(flush=True)\ntime.sleep(60)"
    )
    outside = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        outside.stdout.readline()
        assert mib < tree(program).usage().memory_mib < 2 * mib
    finally:
        outside.kill()
        outside.wait()
        outside.stdout.close()


def test_a_grandchild_stays_in_the_tree_when_its_parent_has_ended_and_is_ended_with_it(tree):
    running = tree(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "    os._exit(0)\n"
        "os.wait()\nprint(flush=True)\ntime.sleep(60)"
    )
    orphan = next(pid for pid in running.pids() if pid != running.root)
    os.kill(running.root, signal.SIGKILL)
    os.waitpid(running.root, 0)
    assert running.pids() == [orphan]
    running.end(0)
    assert running.pids() == []
    with pytest.raises(ProcessLookupError):
        running.usage()
