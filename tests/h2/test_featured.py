"""Models that are no forest, through the compiled listener: calls share batches, and none of them feels the others."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.backends.backend import Tensors
from serving.errors import BackendFailed, BackendRefused, EpmError
from serving.repository.repository import ModelState
from serving.repository.versions import load_version
from tests.h2 import kinds
from tests.h2.asks import PATHS, Question, body, by_python, failure, sent
from tests.h2.inside import SECONDS, Inside, answered_by
from tests.h2.waiting import Waiting, made_to_wait, serve
from tests.support import models
from tests.support.fake_model_servers import FakeTriton
from tests.support.metrics import total, until
from tests.support.models import FEATURES
from tests.support.ports import free_ports

pytestmark = pytest.mark.integration

LISTENERS = ("h2", "grpc_aio")
MOST = 16
"""Rows in flight, in `crowded` gateways."""
DEADLINE, LEFT = grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("featured")
    models.write_version(path, "linear")
    kinds.write_forest(path, kinds.contract("grade", models.GRADE))
    return path


@pytest.fixture(scope="module")
def at(root: Path) -> Iterator[Inside]:
    with Inside(root, loop_threads=2) as running:
        yield running


@pytest.fixture(scope="module")
def crowded(root: Path) -> Iterator[dict[str, Inside]]:
    """Gateways with room for few rows, by listener."""
    with contextlib.ExitStack() as stack:
        options = {"max_rows": 8, "max_rows_in_flight": MOST}
        yield {
            listener: stack.enter_context(Inside(root, listener=listener, loop_threads=2, **options))
            for listener in LISTENERS
        }


@pytest.fixture
def waiting(at: Inside, root: Path) -> Waiting:
    return wait_for(at, root)


def wait_for(at: Inside, root: Path) -> Waiting:
    """Have `linear` served by a backend that answers when it is told to."""
    served, backend = made_to_wait(load_version(root / "linear" / "1"))
    serve(at, ModelState("linear", {1: served}))
    return backend


def ready(first: int, count: int) -> Question:
    """Ready rows that tell which they are."""
    values = np.random.default_rng(first).normal(size=(count, len(FEATURES))).astype(np.float32)
    values[:, 0] = np.arange(first, first + count)
    return Question("linear", {"features": values})


class Callers:
    """Calls that are under way at once, over several connections, so that all loops have some."""

    def __init__(self, at: Inside) -> None:
        self._at = at
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channels = [grpc.insecure_channel(at.grpc, options=options) for _ in range(6)]
        for channel in self.channels:
            grpc.channel_ready_future(channel).result(SECONDS)
        self._next = 0

    def __enter__(self) -> "Callers":
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self.channels:
            channel.close()

    def begin(self, request: bytes, form: str = "epm", timeout: float = SECONDS) -> Any:
        self._next += 1
        call = self.channels[self._next % len(self.channels)].unary_unary(PATHS[form])
        return call.future(request, timeout=timeout)


def outcome(call: Any) -> Any:
    try:
        return "OK", call.result()
    except grpc.RpcError as error:
        return failure(error)


def in_flight(at: Inside) -> int:
    return at.gateway.pipeline.rows_in_flight


def opened(at: Inside) -> int:
    """Calls that loops have seen."""
    return int(total(at.samples(), "epm_h2_streams_total", event="opened"))


def test_calls_that_come_while_a_model_is_busy_share_batches(at: Inside, waiting: Waiting) -> None:
    before = at.samples()
    questions = [ready(100 * number, 1 + number % 3) for number in range(40)]
    requests = [("epm", body("epm", question)) for question in questions[:20]]
    requests += [("kserve_raw", body("kserve_raw", question)) for question in questions[20:]]
    with Callers(at) as callers, answered_by(at, featured=len(requests)):
        calls = [callers.begin(request, form) for form, request in requests]
        rows = sum(len(question.inputs["features"]) for question in questions)
        assert until(lambda: in_flight(at) == rows, SECONDS)
        at.run(waiting.open())
        answers = [outcome(call) for call in calls]
    assert answers == [at.run(by_python(at.gateway.pipeline, *request)) for request in requests]
    assert in_flight(at) == 0
    asked = len(waiting.batches) - len(requests)  # by_python asked, too
    assert asked < len(requests) / 2
    after = at.samples()

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    assert grown("epm_backend_calls_total", backend="waiting") == len(waiting.batches)
    assert grown("epm_backend_rows_total", backend="waiting") == 2 * rows
    assert grown("epm_requests_total", status="OK") == len(requests)


def test_calls_that_come_while_the_event_loop_is_busy_share_a_batch(at: Inside) -> None:
    """A quick model in this process: it is asked once for all that has come."""
    at.scan()
    let_go, held = threading.Event(), threading.Event()
    requests = [body("epm", ready(100 * number, 2)) for number in range(30)]
    expected = [at.run(by_python(at.gateway.pipeline, "epm", request)) for request in requests]
    loops = at.listener._loops

    async def hold_up() -> None:
        held.set()
        let_go.wait(SECONDS)

    def seen() -> int:
        from serving.listeners.h2 import count_kernels as count

        return sum(int(loop.counts[count.STREAMS_OPENED]) for loop in loops)

    with Callers(at) as callers, ThreadPoolExecutor(1) as pool:
        before, first = at.samples(), seen()
        holding = pool.submit(at.run, hold_up())
        assert held.wait(SECONDS)
        try:
            calls = [callers.begin(request) for request in requests]
            assert until(lambda: seen() == first + len(requests), SECONDS)
        finally:
            let_go.set()
        holding.result()
        assert [outcome(call) for call in calls] == expected
        after = at.samples()
    name = "epm_backend_calls_total"
    assert total(after, name, model="linear") - total(before, name, model="linear") < len(requests) / 3


def test_a_caller_that_leaves_or_is_late_hurts_nobody(at: Inside, waiting: Waiting) -> None:
    before = at.samples()
    with Callers(at) as callers:
        requests = [body("epm", ready(100 * number, 1)) for number in range(12)]
        hasty = [callers.begin(request, timeout=2) for request in requests[:3]]
        leaving = [callers.begin(request) for request in requests[3:6]]
        staying = [callers.begin(request) for request in requests[6:]]
        assert until(lambda: in_flight(at) == len(requests), SECONDS)
        for call in leaving:
            call.cancel()
        assert [call.exception().code() for call in hasty] == [DEADLINE] * 3
        assert until(lambda: left(at, before) == {"DEADLINE_EXCEEDED": 3, "CANCELLED": 3}, SECONDS)
        at.run(waiting.open())
        answers = [outcome(call) for call in staying]
        assert answers == [at.run(by_python(at.gateway.pipeline, "epm", request)) for request in requests[6:]]
        assert until(lambda: in_flight(at) == 0, SECONDS)


def left(at: Inside, before: Any) -> dict[str, float]:
    """Calls that were counted as having ended without an answer, by how."""
    after, name = at.samples(), "epm_requests_total"
    return {
        status: total(after, name, status=status) - total(before, name, status=status)
        for status in ("DEADLINE_EXCEEDED", "CANCELLED")
    }


def test_a_row_that_the_model_refuses_is_its_callers_alone(at: Inside, waiting: Waiting) -> None:
    poison = 500

    def refuse(tensors: Tensors) -> EpmError | None:
        poisoned = (tensors["features"][:, 0] == poison).any()
        return BackendRefused("a row is poisoned") if poisoned else None

    waiting.fault = refuse
    requests = [body("epm", ready(100 * number, 1)) for number in range(10)]
    wrong = body("epm", Question("linear", {"hours": np.array([-1.0])}))
    with Callers(at) as callers:
        calls = [callers.begin(request) for request in (*requests, wrong)]
        assert calls[-1].exception().code() == grpc.StatusCode.INVALID_ARGUMENT
        at.run(waiting.open())
        answers = [outcome(call) for call in calls[:-1]]
        assert answers == [at.run(by_python(at.gateway.pipeline, "epm", request)) for request in requests]
    assert [status for status, _ in answers].count("OK") == 9
    assert in_flight(at) == 0


@pytest.mark.parametrize("fault", [BackendFailed, BackendRefused, ZeroDivisionError])
def test_a_model_that_fails_fails_as_with_the_other_listener(
    crowded: dict[str, Inside], root: Path, fault: Callable[[str], Any]
) -> None:
    said = []
    for at in crowded.values():
        waiting = wait_for(at, root)
        waiting.fault = lambda tensors: fault("out of order")
        at.run(waiting.open())
        with grpc.insecure_channel(at.grpc) as channel:
            said.append([sent(channel, form, body(form, ready(1, 2))) for form in PATHS])
        assert in_flight(at) == 0
    assert said[0] == said[1]
    assert {status for status, _ in said[0]} <= {"UNAVAILABLE", "INVALID_ARGUMENT", "INTERNAL"}


def test_too_many_rows_are_refused_at_once_as_with_the_other_listener(crowded: dict[str, Inside], root: Path) -> None:
    said = []
    for at in crowded.values():
        waiting = wait_for(at, root)
        with Callers(at) as callers:
            taken = [callers.begin(body("epm", ready(100 * number, 4))) for number in range(MOST // 4)]
            assert until(lambda at=at: in_flight(at) == MOST, SECONDS)
            refused = [callers.begin(body("epm", ready(900, 3))) for _ in range(6)]
            said.append([outcome(call) for call in refused])
            assert in_flight(at) == MOST
            at.run(waiting.open())
            assert {outcome(call)[0] for call in taken} == {"OK"}
        assert until(lambda at=at: in_flight(at) == 0, SECONDS)
    assert said[0] == said[1]
    assert {status for status, _ in said[0]} == {FULL.name}


def test_a_model_at_a_server(root: Path) -> None:
    """What speaks Triton's protocol: right, away, too slow."""
    server = FakeTriton("linear")
    (server.port,) = free_ports(1)
    options = {"backends": "triton", "triton_address": server.address, "backend_timeout_seconds": 5.0, "cache": "off"}
    with Inside(root, loop_threads=2, **options) as at, grpc.insecure_channel(at.grpc) as channel:
        at.run(server.start())
        assert until(lambda: at.scan() is None and "linear" in served(at), SECONDS)
        requests = [(form, body(form, ready(100, count))) for form in PATHS for count in (1, 3, 64)]
        with answered_by(at, featured=len(requests)):
            answers = [sent(channel, *request) for request in requests]
        assert answers == [at.run(by_python(at.gateway.pipeline, *request)) for request in requests]
        assert {status for status, _ in answers} == {"OK"}
        server.code = grpc.StatusCode.INVALID_ARGUMENT
        for request in requests[:3]:
            answer = sent(channel, *request)
            assert answer == at.run(by_python(at.gateway.pipeline, *request))
            assert answer[0] != "OK"
        server.code, server.delay = None, 1.0
        assert sent(channel, *requests[0], seconds=0.3)[0] == DEADLINE.name
        at.run(server.stop())


def served(at: Inside) -> list[str]:
    return [name for name, state in at.gateway.repository.models.items() if state.served]


WAYS: dict[str, dict[str, object]] = {
    "kept": {"cache": "local"},
    "shared": {"cache": "off", "batching": "on"},
    "compared": {"cache": "off", "shadow_backend": "onnxruntime", "shadow_fraction": 1.0},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_forest_whose_predictions_are_kept_shared_or_compared_goes_that_way(root: Path, way: str) -> None:
    question = Question("grade", kinds.sent(models.golden_columns(5, 1)))
    with Inside(root, **WAYS[way]) as at, grpc.insecure_channel(at.grpc) as channel:
        requests = [(form, body(form, question)) for form in PATHS]
        asked = 1 if way == "kept" else 2 * len(requests)
        with answered_by(at, featured=asked, compiled=2 * len(requests) - asked):
            answers = [sent(channel, *request) for request in requests * 2]
        assert answers == [at.run(by_python(at.gateway.pipeline, *request)) for request in requests] * 2
        name, labels, least = {
            "kept": ("epm_cache_rows_total", {"from": "table"}, 5 * (2 * len(requests) - 1)),
            "shared": ("epm_batch_rows_count", {}, 2 * len(requests)),
            "compared": ("epm_shadow_rows_total", {"outcome": "agreed"}, 5),
        }[way]
        assert until(lambda: total(at.samples(), name, model="grade", **labels) >= least, 30)
