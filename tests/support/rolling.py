"""Two gateways that are restarted in turn on the same ports, and a steady load on both of them together."""

import contextlib
import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from tests.faults.protocols import PROTOCOLS, Ask, Grpc, ask
from tests.support.gateways import Running, gateway
from tests.support.metrics import sample, until
from tests.support.ports import free_ports

UNARY = ("tf_serving", "kserve", "epm")
STREAM = "/epm.v1.PredictionService/StreamPredict"
QUESTIONS = 16
MOST_OPEN = 32
LEAVING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""How a stream ends at a gateway that leaves; the second when it came in its last moment."""
MESSAGES = 5
"""In one stream."""


class Pair:
    """Two gateways. `roll` ends one of them with SIGTERM and starts it again on its ports."""

    def __init__(self, repository: Path, **settings: object) -> None:
        ports = free_ports(4)
        options = {"model_repo": repository, **settings}
        self._options = [{**options, "grpc_port": ports[at], "http_port": ports[at + 2]} for at in (0, 1)]
        self._stacks = [contextlib.ExitStack(), contextlib.ExitStack()]
        self.running: list[Running] = []

    @property
    def target(self) -> str:
        """Both of them, as gRPC takes it."""
        return "ipv4:" + ",".join(one.grpc for one in self.running)

    def __enter__(self) -> "Pair":
        try:
            self.running = [self._start(0), self._start(1)]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for stack in self._stacks:
            stack.close()

    def roll(self, number: int, seconds: float) -> tuple[int, str]:
        """Exit status and log of the one that was ended; it has `seconds` for that. Returns when the new one is called.

        Raises subprocess.TimeoutExpired, AssertionError.
        """
        old = self.running[number]
        old.process.send_signal(signal.SIGTERM)
        status = old.process.wait(seconds)
        self._stacks[number].close()
        self.running[number] = new = self._start(number)
        assert until(lambda: sample(new, "epm_requests_total", status="OK") > 0, 60), "nobody calls the new one"
        return status, "".join(old.log)

    def _start(self, number: int) -> Running:
        options = dict(self._options[number])
        return self._stacks[number].enter_context(gateway(options.pop("model_repo"), **options))


@dataclass
class SteadyLoad:
    """Calls at a fixed rate, from the `with` until its end, which waits for the last answers.

    Where the machine cannot keep up, at most `MOST_OPEN` calls are open and later ones wait, as if the rate were lower.

    Four of five are unary, through all protocols in turn; each fifth is a stream of five messages, which is one call.
    When a stream ends because its gateway leaves, what it has not answered is asked in another one, as clients of
    streams do, after a pause that grows.
    """

    target: str
    rate: float
    options: list[tuple[str, Any]]
    outcomes: Counter[str] = field(default_factory=Counter)
    """Calls by how they ended: OK, WRONG for another answer than at first, or a status with its details."""
    reopened: int = 0
    """Streams that were ended by a gateway which was leaving."""

    def __enter__(self) -> "SteadyLoad":
        self._channel = grpc.insecure_channel(self.target, options=self.options)
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._room = threading.Semaphore(MOST_OPEN)
        self._questions = [ask(hours=[20 + number], department=["sales"]) for number in range(QUESTIONS)]
        self._right: dict[tuple[str, int], bytes] = {}
        self._methods = {name: self._channel.unary_unary(PROTOCOLS[name].method) for name in UNARY}  # type: ignore
        self._stream = self._channel.stream_stream(STREAM)
        for name in UNARY:
            for number, question in enumerate(self._questions):
                self._right[name, number] = self._methods[name](_encode(name, question), timeout=60)
        self._streams = ThreadPoolExecutor(16)
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._sender.join(60)
        self._streams.shutdown()
        for _ in range(MOST_OPEN):
            assert self._room.acquire(timeout=60), "a call does not end"
        self._channel.close()

    @property
    def done(self) -> int:
        """Calls that have ended."""
        with self._lock:
            return sum(self.outcomes.values())

    def failed(self) -> dict[str, int]:
        """Calls that did not end well."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "OK"}

    def _send(self) -> None:
        due = time.monotonic()
        for number in itertools.count():
            due = max(due, time.monotonic() - 1) + 1 / self.rate
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            self._room.acquire()
            question = number % QUESTIONS
            if number % 5 == 4:
                self._streams.submit(self._streamed, question)
                continue
            name = UNARY[number % len(UNARY)]
            future = self._methods[name].future(_encode(name, self._questions[question]), timeout=30)
            future.add_done_callback(lambda call, key=(name, question): self._ended(*_result(call), self._right[key]))

    def _streamed(self, question: int) -> None:
        body = _encode("epm", self._questions[question])
        right = self._right["epm", question]
        answers: list[bytes] = []
        outcome = "OK"
        for attempt in range(4):
            time.sleep(0.05 * attempt)
            call = self._stream(iter([body] * (MESSAGES - len(answers))), timeout=30)
            try:
                answers.extend(call)
                break
            except grpc.RpcError as error:
                outcome = _words(error)
                if error.code() not in LEAVING:
                    break
                with self._lock:
                    self.reopened += 1
        if len(answers) == MESSAGES:
            outcome = "OK" if all(answer == right for answer in answers) else "WRONG"
        elif outcome == "OK":
            outcome = f"{len(answers)} answers to {MESSAGES} messages"
        self._ended(outcome, right, right)

    def _ended(self, outcome: str, answer: bytes, right: bytes) -> None:
        with self._lock:
            self.outcomes["WRONG" if outcome == "OK" and answer != right else outcome] += 1
        self._room.release()


def _encode(name: str, question: Ask) -> bytes:
    made = PROTOCOLS[name]
    assert issubclass(made, Grpc)
    return made.encode(None, question)  # type: ignore[arg-type]  # it uses nothing of the connection


def _result(call: grpc.Future) -> tuple[str, bytes]:
    try:
        return "OK", call.result()
    except grpc.RpcError as error:
        return _words(error), b""
    except grpc.FutureCancelledError:
        return "CANCELLED here", b""


def _words(error: grpc.RpcError) -> str:
    return f"{error.code().name}: {error.details()}"


def rolled(pair: Pair, load: SteadyLoad, calls: int, least: int, seconds: float) -> Iterator[tuple[int, str]]:
    """Restart both in turn, each `least` times and until so many calls have ended: exit statuses and logs."""
    for number in itertools.count():
        if load.done >= calls and number >= 2 * least:
            return
        yield pair.roll(number % 2, seconds)
