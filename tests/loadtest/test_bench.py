"""The side-by-side benchmark without the other servers, and what becomes of a server that does not answer."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest import servers
from loadtest.answers import WrongAnswerError
from loadtest.bench.load import first_answer, put_load
from loadtest.bench.peer import Launch, Peer, Running, Setting, free_ports, predictions
from loadtest.bench.peers import PEERS
from loadtest.bench.peers.echo import launch as launch_echo
from loadtest.bench.rounds import Contest, Effort, Places, two_digits
from loadtest.bench.rows import draw
from loadtest.bench.wires import ECHO, TENSOR
from loadtest.published import MODEL
from loadtest.servers import ServerError

pytestmark = pytest.mark.integration

REPO = Path("model_repo").absolute()


@pytest.fixture(scope="module")
def sample():
    return draw(REPO, MODEL, 1)


def program(code, wire=TENSOR):
    """A peer that is a line of Python."""

    def launch(setting):
        (port,) = free_ports(1)
        return Launch([setting.python, "-c", code], {"grpc": f"127.0.0.1:{port}"})

    return Peer("odd", "an odd server", "", launch, (wire,))


def setting(folder):
    return Setting(REPO, (MODEL,), Path(sys.prefix), folder)


def test_a_moment_without_other_servers_gives_figures_and_a_page_that_says_so(tmp_path):
    results, page = tmp_path / "figures.json", tmp_path / "docs" / "performance.md"
    command = [sys.executable, "-m", "loadtest.bench", "--results", results, "--out", page]
    more = ["--quick", "--environments", tmp_path]
    done = subprocess.run([*map(str, (*command, *more))], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    figures = json.loads(results.read_text())
    assert {run["server"] for run in figures["runs"]} == {"gateway"}
    assert {(run["wire"], run["rows"]) for run in figures["runs"]} == {
        (wire, rows) for wire in ("tensor", "raw") for rows in (1, 64)
    }
    assert all(run["counted_calls"] == run["calls"] > 0 for run in figures["runs"])
    assert all(run["largest_difference"] <= 1e-5 for run in figures["runs"])
    assert all("make bench-envs" in peer["missing"] for peer in figures["peers"] if peer["name"] != "gateway")
    text = page.read_text()
    assert "| MLServer |  | not installed: run `make bench-envs` |" in text
    assert "No other server was there" in text

    page.unlink()
    again = subprocess.run([*map(str, (*command, "--report"))], capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert page.read_text() == text


def test_a_server_that_ends_or_is_not_there_is_left_out_with_the_reason(sample):
    contest = Contest(Places(REPO, Path("nowhere")), [sample], Effort(0.1, 1))
    contest.admit([program("raise SystemExit('no such option')"), replace(PEERS[1], name="absent")])
    assert contest.peers == []
    assert "no such option" in contest.missing["odd"]
    assert "make bench-envs" in contest.missing["absent"]


def test_a_server_that_never_answers_is_given_up_and_leaves_no_process(sample, tmp_path):
    silent = program("import time; print('waiting', flush=True); time.sleep(60)")
    with pytest.raises(ServerError, match="gave no answer within its time to start: waiting"):
        Running(silent, setting(tmp_path), first_answer(sample.work(TENSOR)), patience=1.0)
    assert not any(_runs_in(tmp_path))


def _runs_in(folder):
    """Process ids that have `folder` as their working directory."""
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if cwd.resolve() == folder:
                yield cwd.parent.name
        except OSError:
            continue


def test_a_server_of_other_answers_is_refused_before_anything_is_measured(sample, tmp_path):
    """The echo gives back a request, which is no prediction."""
    wrong = Peer("echo", "an echo", "", launch_echo, (TENSOR,))
    with pytest.raises(WrongAnswerError):
        Running(wrong, setting(tmp_path), first_answer(sample.work(TENSOR)))


def test_a_running_server_is_held_to_its_processor_and_measured_with_all_its_processes(sample, tmp_path):
    peer = Peer("echo", "an echo", "", launch_echo, (ECHO,))
    work = sample.work(ECHO)
    with Running(peer, setting(tmp_path), first_answer(work), cpu=servers.SERVER_CPU) as running:
        figures = put_load(running, work, 0.3)
        assert running.pinned
        assert running.seconds > 0
        assert figures.calls > 0
        assert figures.counted_calls is None
        at_a_rate = put_load(running, work, 0.5, streams=100, rate=100.0)
        assert at_a_rate.calls <= 52
    with pytest.raises(ServerError, match="ended"):
        running.usage()


def test_probabilities_further_away_than_allowed_are_refused(sample):
    expected = sample.expected[0]
    check = predictions(lambda answer, rows: expected + float(answer))
    assert check(b"", b"0", expected) == 0
    with pytest.raises(WrongAnswerError, match="differ from onnxruntime's"):
        check(b"", b"2e-5", expected)
    with pytest.raises(WrongAnswerError, match="shape"):
        predictions(lambda answer, rows: expected[:0])(b"", b"", expected)


@pytest.mark.parametrize(("rate", "named"), [(1234.0, 1200.0), (57.3, 57.0), (0.123, 0.12)])
def test_a_rate_is_rounded_to_two_digits(rate, named):
    assert two_digits(rate) == named
