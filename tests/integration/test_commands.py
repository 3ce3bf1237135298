"""`epm --help`, `epm models`: everything that a person needs to send the first call."""

import json
import shlex
import subprocess
import sys
import time

import pytest

from tests.integration.commands import epm
from tests.integration.publishing import get

pytestmark = pytest.mark.integration


def test_help_names_the_commands_and_is_quick():
    began = time.monotonic()
    done = epm("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("serve", "predict", "models"))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("serve", ["--grpc-port", "EPM_GRPC_PORT", "--max-rows-in-flight", "RESOURCE_EXHAUSTED", "default 8500"]),
        ("predict", ["--model", "--address", "EPM_ADDRESS", "--batch", "--format"]),
        ("models", ["list", "describe", "--model-repo"]),
    ],
)
def test_help_of_a_command_names_its_options(command, expected):
    done = epm(command, "--help")
    assert done.returncode == 0
    assert [word for word in expected if word not in done.stdout] == []


def test_no_command_and_an_unknown_one_are_wrong_use():
    assert epm().returncode == 2
    assert epm("canary").returncode == 2


def test_list_shows_every_version_and_what_is_wrong_with_it(small_repository, tmp_path):
    shown = epm("models", "list", "--model-repo", small_repository).stdout
    rows = [line.split() for line in shown.splitlines()]
    assert ["small", "1", "employee", "4", "grade", "ok"] in rows
    assert ["small", "2", "employee", "4", "grade", "ok"] in rows
    broken = tmp_path / "broken" / "1"
    broken.mkdir(parents=True)
    done = epm("models", "list", "--model-repo", tmp_path)
    assert done.returncode == 0
    assert "SHA256SUMS" in done.stdout


def test_describe_shows_names_units_bounds_categories_and_what_comes_back(small_repository):
    shown = epm("models", "describe", "small", "--model-repo", small_repository).stdout
    for expected in (
        "small version 2",
        "hours",
        "0..168 h/week",
        "required",
        "sales | 研发 | finance",
        "features float32[n, 8]",
    ):
        assert expected in shown
    for expected in ("grade (class: A | B | C)", "50%", "gender: protected"):
        assert expected in shown
    numbers = epm("models", "describe", "numbers", "--model-repo", small_repository).stdout
    assert "courses (ranking: excel | sql | coaching)" in numbers


@pytest.mark.parametrize("model", ["small", "numbers"])
def test_the_example_that_describe_shows_is_answered(model, small_repository, small):
    shown = epm("models", "describe", model, "--model-repo", small_repository).stdout
    words = shlex.split(shown.splitlines()[-1])
    body = json.loads(words[words.index("-d") + 1])
    status, made = get(small, f"/v1/models/{model}:predict", body)
    assert status == 200
    assert made["outputs"]["warnings"] == [""]


def test_describe_of_nothing_and_of_nobody_say_what_there_is(small_repository):
    assert epm("models", "describe", "--model-repo", small_repository).returncode == 2
    done = epm("models", "describe", "nobody", "--model-repo", small_repository)
    assert done.returncode == 1
    assert "numbers, small" in done.stderr


def test_a_command_ends_with_its_status_and_its_output_whatever_threads_are_left():
    script = (
        "import threading, time\n"
        "from serving import cli\n"
        "def main():\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n"  # as a client's thread that never ends
        "    print('said', end='')\n"
        "    return 3\n"
        "cli.main = main\n"
        "cli.command()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said", "")
