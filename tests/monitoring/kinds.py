"""The kinds of calls that an observed gateway gets: what is sent, and whether what comes back is right."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from serving.stubs.epm.v1 import features_pb2_grpc, prediction_pb2_grpc
from tests.faults.protocols import PROTOCOLS, Ask
from tests.monitoring.known import GRADES, LEAVING, Known, odd, usual
from tests.monitoring.messages import facts_of, ids_of, rows_of
from tests.support.asking import outputs
from tests.support.gateways import Running

TOKEN = "a-token-for-tests-only"  # noqa: S105
PILOT = "pilot_model"
"""The grades once more, at Triton and nowhere else."""
STORED = 200
"""People whose facts are in the online store."""
SECONDS = 20.0
"""The deadline of a call; generous, for what is looked at is not its time."""

Random = np.random.Generator
Asked = Callable[[Random], tuple[str, bool]]
"""Asks once. Returns the name of the status, and whether the answer is right where it is OK."""
Right = Callable[[Any], bool]


@dataclass(frozen=True)
class Kind:
    """pause: seconds between two calls; statuses: what may come back, whatever is away."""

    name: str
    asked: Asked
    pause: float
    statuses: frozenset[str] = frozenset({"OK"})


class Stubs:
    """Of one connection of its own."""

    def __init__(self, at: Running) -> None:
        channel = grpc.insecure_channel(at.grpc, options=[("grpc.use_local_subchannel_pool", 1)])
        predictions = prediction_pb2_grpc.PredictionServiceStub(channel)
        self._predict, self._stream = predictions.Predict, predictions.StreamPredict
        self._put = features_pb2_grpc.FeatureServiceStub(channel).PutFacts

    def predict(self, request: Any, is_right: Right) -> tuple[str, bool]:
        try:
            answer = self._predict(request, timeout=SECONDS)
        except grpc.RpcError as error:
            return error.code().name, False
        return "OK", not answer.row_errors and is_right(outputs(answer))

    def stream(self, requests: list[Any], are_right: list[Right]) -> tuple[str, bool]:
        try:
            answers = list(self._stream(iter(requests), timeout=SECONDS))
        except grpc.RpcError as error:
            return error.code().name, False
        pairs = zip(answers, are_right, strict=False)
        return "OK", len(answers) == len(requests) and all(is_right(outputs(answer)) for answer, is_right in pairs)

    def put(self, request: Any) -> tuple[str, bool]:
        try:
            self._put(request, metadata=[("authorization", f"Bearer {TOKEN}")], timeout=SECONDS)
        except grpc.RpcError as error:
            return error.code().name, False
        return "OK", True


@dataclass
class People:
    """Whom is asked about."""

    graded: Known
    leaving: Known

    def kinds(self, at: Running) -> list[Kind]:
        """All kinds of calls, each with a connection of its own."""
        return [*self._protocols(at), *self._rows(at), *self._by_id(at), self._mistakes(at)]

    def store(self, at: Running) -> None:
        """Put the first people's facts into the online store, and ask for each of them once."""
        stubs, rows = Stubs(at), range(STORED)
        outcomes = [stubs.put(facts_of(self.graded, rows)), self._stored(stubs, rows)]
        assert outcomes == [("OK", True)] * 2, outcomes

    def crowd(self, at: Running) -> str:
        """Ask for half of the people in one call; the status. Two such calls are more than may be at work."""
        known, count = self.leaving, self.leaving.people // 2
        return Stubs(at).predict(rows_of(known, 0, count), lambda answer: known.is_right(0, count, answer))[0]

    def _protocols(self, at: Running) -> Iterator[Kind]:
        """Few rows through every protocol, and many through one."""

        def asking(protocol: str, least: int, most: int) -> Asked:
            opened, known = PROTOCOLS[protocol](at.grpc, at.http), self.graded

            def asked(random: Random) -> tuple[str, bool]:
                first, count = some(random, known, least, most)
                outcome = opened.ask(Ask(known.rows(first, count), GRADES), SECONDS)
                return outcome.status, known.is_right(first, count, {"probabilities": outcome.probabilities})

            return asked

        for name in PROTOCOLS:
            yield Kind(name, asking(name, 1, 8), 0.1)
        yield Kind("many rows", asking("kserve", 65, 300), 0.8)

    def _rows(self, at: Running) -> Iterator[Kind]:
        """Raw rows over epm.v1: usual and odd ones, few and many, of each model, and as a stream."""

        def asking(known: Known, least: int, most: int, model: str = "") -> Asked:
            stubs = Stubs(at)

            def asked(random: Random) -> tuple[str, bool]:
                first, count = some(random, known, least, most)
                request = rows_of(known, first, count, model)
                return stubs.predict(request, lambda answer: known.is_right(first, count, answer))

            return asked

        def streaming(known: Known) -> Asked:
            stubs = Stubs(at)

            def asked(random: Random) -> tuple[str, bool]:
                parts = [some(random, known, 1, 4) for _ in range(8)]
                requests = [rows_of(known, *part) for part in parts]
                return stubs.stream(requests, [lambda got, part=part: known.is_right(*part, got) for part in parts])

            return asked

        for number in range(3):
            yield Kind(f"leaving {number}", asking(self.leaving, 1, 4), 0.1)
        yield Kind("leaving, many rows", asking(self.leaving, 65, 200), 1.5)
        yield Kind("leaving, odd rows", asking(odd(self.leaving), 1, 6), 0.3)
        yield Kind("grades, odd rows", asking(odd(self.graded), 1, 6), 0.3)
        yield Kind("stream", streaming(self.graded), 0.5)
        yield Kind("pilot", asking(self.graded, 1, 4, PILOT), 0.3, frozenset({"OK", "UNAVAILABLE"}))

    def _by_id(self, at: Running) -> Iterator[Kind]:
        """Ids that are stored, ids that are not, and facts that are written; the last two need Redis."""
        stubs, tensors = Stubs(at), PROTOCOLS["tf_serving"](at.grpc, at.http)

        def known(random: Random) -> tuple[str, bool]:
            first = int(random.integers(STORED - 4))
            return self._stored(stubs, range(first, first + 4))

        def unknown(random: Random) -> tuple[str, bool]:
            ask = Ask([("entity_id", [f"nobody-{random.integers(1000)}"])], GRADES)
            return tensors.ask(ask, SECONDS).status, True

        def written(random: Random) -> tuple[str, bool]:
            row = int(random.integers(STORED))
            return stubs.put(facts_of(self.graded, range(row, row + 1)))

        yield Kind("stored", known, 0.12)
        yield Kind("not stored", unknown, 0.5, frozenset({"NOT_FOUND", "UNAVAILABLE"}))
        yield Kind("facts", written, 1.0, frozenset({"OK", "UNAVAILABLE"}))

    def _stored(self, stubs: Stubs, rows: range) -> tuple[str, bool]:
        known = self.graded
        return stubs.predict(ids_of(GRADES, rows), lambda answer: known.is_right(rows.start, len(rows), answer))

    def _mistakes(self, at: Running) -> Kind:
        """What is the caller's fault, through every protocol."""
        opened, row = [protocol(at.grpc, at.http) for protocol in PROTOCOLS.values()], self.graded.rows(0, 1)
        mistakes = [
            Ask(row, "nobody_s_model"),
            Ask(row, GRADES, version=7),
            Ask([("hours", np.array([-5.0])), ("tenure", np.array([12.0]))], GRADES),
            Ask([("tenure", np.array([12.0]))], GRADES),
        ]

        def asked(random: Random) -> tuple[str, bool]:
            chosen = opened[int(random.integers(len(opened)))]
            return chosen.ask(mistakes[int(random.integers(len(mistakes)))], SECONDS).status, True

        return Kind("mistakes", asked, 0.2, frozenset({"NOT_FOUND", "INVALID_ARGUMENT"}))


def people(count: int = 1600) -> People:
    """The same ones every time."""
    return People(usual(GRADES, count, 21), usual(LEAVING, count, 23))


def some(random: Random, known: Known, least: int, most: int) -> tuple[int, int]:
    """The first of some people, and how many: some are asked for often, others hardly ever."""
    count = int(random.integers(least, most + 1))
    return int((known.people - count) * random.random() ** 2), count
