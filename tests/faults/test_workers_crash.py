"""Workers that die, stand still or cannot start, under load: callers, counters and the other workers go on."""

import contextlib
import os
import signal
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.gateways import gateway
from tests.support.metrics import sample, scrape, until
from tests.support.models import write_version
from tests.support.rolling import SteadyLoad
from tests.support.workers import PATIENCE, process_of

pytestmark = [pytest.mark.faults, pytest.mark.alone]

CONFIG = Path(__file__).resolve().parents[2] / "docs" / "service-config.json"
OPTIONS = [
    ("grpc.service_config", CONFIG.read_text("utf-8")),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.use_local_subchannel_pool", 1),
]
CLIENTS, RATE = 4, 12


class Watch:
    """Reads metrics without end; `fell` lists counters that went down."""

    def __init__(self, at):
        self.at, self.fell, self.read = at, [], 0

    def __enter__(self):
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)

    def _work(self):
        last = {}
        while not self._stop.wait(0.1):
            with contextlib.suppress(OSError):  # the worker that was asked has died
                now = counters(scrape(self.at))
                self.fell += [key for key, value in last.items() if now.get(key, -1.0) < value]
                last = now
                self.read += 1


def counters(samples):
    """All that may only grow, by name and labels."""
    grows = ("_total", "_count", "_bucket", "_sum")
    return {(one.name, *sorted(one.labels.items())): one.value for one in samples if one.name.endswith(grows)}


@pytest.fixture(scope="module")
def pair(small_repository):
    """Two workers, of whom one that stands still is missed sooner than by default."""
    with gateway(small_repository, workers=2, worker_stuck_seconds=4) as running:
        yield running


def crashes(at):
    return sample(at, "epm_worker_restarts_total", reason="crash")


def some_worker_says(holds):
    """Whether it holds at last; who asks a worker that is killed just then gets no answer."""

    def told():
        with contextlib.suppress(OSError):
            return holds()
        return False

    return until(told, PATIENCE)


def test_callers_are_answered_and_no_counter_falls_while_workers_crash(pair):
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(Watch(pair))
        loads = [stack.enter_context(SteadyLoad(pair.grpc, RATE, OPTIONS)) for _ in range(CLIENTS)]
        for count, (number, how) in enumerate(((1, signal.SIGKILL), (2, signal.SIGSEGV), (1, signal.SIGABRT)), 1):
            os.kill(process_of(pair, number), how)
            assert some_worker_says(lambda count=count: crashes(pair) == count)
            assert some_worker_says(lambda: sample(pair, "epm_workers_up") == 2)
            good = [load.outcomes["OK"] for load in loads]
            assert until(
                lambda good=good: all(load.outcomes["OK"] > was for load, was in zip(loads, good, strict=True))
            )
    print([(load.done, load.reopened, load.failed()) for load in loads], watch.read)
    failed = {outcome.partition(":")[0] for load in loads for outcome in load.failed()}
    assert failed <= {"UNAVAILABLE"}, "of a connection that was reset as it was made, gRPC waits longer than it retries"
    assert watch.fell == []
    assert watch.read > 10
    log = "".join(pair.log)
    assert all(f"ended by {name}" in log for name in ("SIGKILL", "SIGSEGV", "SIGABRT"))


def test_a_worker_that_stands_still_is_killed_and_what_it_had_counted_remains(pair):
    assert some_worker_says(lambda: sample(pair, "epm_workers_up") == 2)
    before = sample(pair, "epm_requests_total", status="OK")
    process = process_of(pair, 2)
    os.kill(process, signal.SIGSTOP)
    assert until(lambda: "it had not answered for 4 s" in "".join(pair.log), PATIENCE)
    assert some_worker_says(lambda: sample(pair, "epm_workers_up") == 2)
    assert sample(pair, "epm_requests_total", status="OK") == before > 0
    assert sample(pair, "epm_worker_restarts_total", reason="stuck") >= 1
    assert process_of(pair, 2) != process
    with SteadyLoad(pair.grpc, RATE, OPTIONS) as load:
        assert until(lambda: load.done > 20, 60)
    assert load.failed() == {}


def test_one_that_cannot_start_is_tried_less_often_while_others_serve_and_probes_are_answered_when_none_does(tmp_path):
    write_version(tmp_path / "models", "small", 1)
    with gateway(tmp_path / "models", workers=2, repository_poll_seconds=0) as at:
        (tmp_path / "models").rename(tmp_path / "away")
        os.kill(process_of(at, 2), signal.SIGKILL)
        assert until(lambda: "worker 2 ended by status 2, starts again in 0.5 s" in "".join(at.log), PATIENCE)
        assert "worker 2 ended by SIGKILL, starts again now" in "".join(at.log)
        samples = {one.name: one.value for one in scrape(at)}
        names = ("epm_workers", "epm_workers_up", "epm_ready", "epm_models_served")
        assert [samples[name] for name in names] == [2, 1, 1, 1]
        with SteadyLoad(at.grpc, RATE, OPTIONS) as load:
            assert until(lambda: load.done > 20, 60)
        assert load.failed() == {}
        counted = sample(at, "epm_requests_total", status="OK")
        assert counted > 20
        os.kill(process_of(at, 1), signal.SIGKILL)
        assert some_worker_says(lambda: sample(at, "epm_workers_up") == 0)
        assert [get(at, path) for path in ("/livez", "/readyz", "/v2")] == [200, 503, 503]
        assert [sample(at, name) for name in ("epm_workers", "epm_ready")] == [2, 0]
        assert sample(at, "epm_requests_total", status="OK") == counted
        (tmp_path / "away").rename(tmp_path / "models")
        assert some_worker_says(lambda: sample(at, "epm_workers_up") == 2)
        assert get(at, "/readyz") == 200


def get(at, path):
    try:
        with urllib.request.urlopen(f"http://{at.http}{path}", timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
