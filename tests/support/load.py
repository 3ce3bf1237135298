"""Callers that ask a gateway without end, each in a thread of its own, and what became of every single call."""

import itertools
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import grpc
import numpy as np
import onnxruntime

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from tests.support.asking import outputs, ready_request
from tests.support.gateways import Running
from tests.support.published import REPOSITORY, graph_inputs

TOLERANCE = 1e-5
OK = grpc.StatusCode.OK


class Rows:
    """Ready tensors of some people for a committed model, and what the model says of each, by onnxruntime alone."""

    def __init__(self, model: str, people: int = 700, seed: int = 11) -> None:
        served, self.tensors = graph_inputs(model, people, seed)
        self.model, self.people, self._threshold = model, people, served.threshold
        session = onnxruntime.InferenceSession(str(REPOSITORY / model / "1" / "model.onnx"))
        names = [output.name for output in session.get_outputs()]
        self.answers = dict(zip(names, session.run(None, self.tensors), strict=True))
        self.close = served.margin(self.answers) <= TOLERANCE
        """Whose decision may fall on either side: bool[people]."""

    def request(self, first: int, count: int) -> v1.PredictRequest:
        """The question about some of them, one after the other."""
        return ready_request(self.model, {name: values[first : first + count] for name, values in self.tensors.items()})

    def is_right(self, first: int, count: int, answer: Mapping[str, np.ndarray]) -> bool:
        """Whether every number of an answer is as it should be."""
        chosen = slice(first, first + count)
        for name, values in self.answers.items():
            got, expected = answer[name], values[chosen]
            if got.shape != expected.shape:
                return False
            right = np.abs(got - expected) <= TOLERANCE
            if not (right | self.close[chosen] if name == "label" else right).all():
                return False
        return True


@dataclass(frozen=True)
class Call:
    """One call. by: its caller; sent, ended: as time.monotonic() counts; right, version: of an answer."""

    by: str
    rows: int
    sent: float
    ended: float
    status: grpc.StatusCode
    right: bool
    details: str
    version: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.sent


@dataclass(frozen=True)
class Caller:
    """Asks for 1 to `most` rows at a time. seconds: its deadline, None for none; pause: between two calls."""

    name: str
    rows: Rows
    seconds: float | None = None
    most: int = 8
    pause: float = 0.002
    priority: str = ""
    version: int = 0
    """The one that is asked for, 0 for the newest."""
    leaves_after: float | None = None
    """Seconds after which it cancels its call."""


class Connection:
    """A channel of its own."""

    def __init__(self, at: Running) -> None:
        self._channel = grpc.insecure_channel(at.grpc, options=[("grpc.use_local_subchannel_pool", 1)])
        self._predict = prediction_pb2_grpc.PredictionServiceStub(self._channel).Predict

    def ask(self, caller: Caller, first: int, count: int) -> Call:
        """One call, whatever becomes of it."""
        request = caller.rows.request(first, count)
        if caller.version:
            request.model.version = caller.version
        metadata = [("epm-priority", caller.priority)] if caller.priority else None
        sent = time.monotonic()

        def ended(status: grpc.StatusCode, right: bool = False, details: str = "", version: int = 0) -> Call:
            return Call(caller.name, count, sent, time.monotonic(), status, right, details, version)

        try:
            if caller.leaves_after is None:
                response = self._predict(request, timeout=caller.seconds, metadata=metadata)
            else:
                response = self._asked_and_left(request, caller)
        except grpc.RpcError as error:
            return ended(error.code(), details=error.details() or "")
        except grpc.FutureCancelledError:
            return ended(grpc.StatusCode.CANCELLED)
        return ended(OK, caller.rows.is_right(first, count, outputs(response)), version=response.model_version)

    def _asked_and_left(self, request: v1.PredictRequest, caller: Caller) -> v1.PredictResponse:
        calling = self._predict.future(request)
        try:
            return calling.result(timeout=caller.leaves_after)
        except grpc.FutureTimeoutError:
            calling.cancel()
            raise grpc.FutureCancelledError from None

    def close(self) -> None:
        self._channel.close()


@dataclass
class Load:
    """Callers at work from the `with` until its end, which waits for their last calls."""

    at: Running
    callers: Iterable[Caller]
    calls: list[Call] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(caller, number), daemon=True)
            for number, caller in enumerate(self.callers)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in self._threads), "a call does not end"

    def of(self, *names: str, since: float = 0.0, until: float = float("inf")) -> list[Call]:
        """Calls of some callers, of all without names, that were sent in that time."""
        done = list(itertools.islice(self.calls, len(self.calls)))
        return [call for call in done if (not names or call.by in names) and since <= call.sent < until]

    def more(self, count: int, *names: str, seconds: float = 15) -> None:
        """Until each of these callers, or any if none is named, was answered so often from now on."""
        since, end = time.monotonic(), time.monotonic() + seconds
        groups = [(name,) for name in names] or [()]
        while any(sum(call.status is OK for call in self.of(*group, since=since)) < count for group in groups):
            assert time.monotonic() < end, f"not answered {count} times: {self.counts(since)}"
            time.sleep(0.01)

    def counts(self, since: float = 0.0) -> dict[str, int]:
        """How often what happened, for messages."""
        found: dict[str, int] = {}
        for call in self.of(since=since):
            what = f"{call.by} {call.status.name}{'' if call.right or call.status is not OK else ' wrong'}"
            found[what] = found.get(what, 0) + 1
        return found

    def _work(self, caller: Caller, seed: int) -> None:
        random, connection = np.random.default_rng(seed), Connection(self.at)
        while not self._stop.is_set():
            count = int(random.integers(1, caller.most + 1))
            first = int(random.integers(0, caller.rows.people - count + 1))
            self.calls.append(connection.ask(caller, first, count))
            self._stop.wait(caller.pause)
        connection.close()


def wrong(calls: Iterable[Call]) -> list[Call]:
    """Answers that are not right."""
    return [call for call in calls if call.status is OK and not call.right]


def failed(calls: Iterable[Call]) -> list[Call]:
    """Calls without an answer."""
    return [call for call in calls if call.status is not OK]
