"""`epm facts`: loads, shows and erases what is stored of entities, as any application would over gRPC."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import Any

import grpc

from serving import table
from serving.errors import EpmError, InvalidInput, NotFound, NotReady
from serving.facts_files import FactsFile, Message
from serving.stubs.epm.v1 import features_pb2 as v1
from serving.stubs.epm.v1 import features_pb2_grpc

SEGMENT = 32
"""Messages that are confirmed together, and sent again together when the gateway or its store is away."""
PATIENCE = 30.0
"""Seconds for which sending is tried again."""
LONGEST_CALL = 120.0
"""Seconds after which a call that is not answered has failed."""
SHOWN = 20
"""Rejected places that are named; the others are counted."""


@dataclass
class Loaded:
    """What became of a file so far. entities: events sent; applied: those that changed something."""

    entities: int = 0
    rows: int = 0
    applied: int = 0
    rejected: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


class FactsClient:
    """A gateway at `address` (host:port); `wait`: seconds to wait until it answers. Raises NotReady.

    Every method raises EpmError when the gateway refuses.
    """

    def __init__(self, address: str, wait: float, token: bytes) -> None:
        self._channel = grpc.insecure_channel(address)
        self._metadata = (("authorization", f"Bearer {token.decode()}"),)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=wait)
        except grpc.FutureTimeoutError:
            raise NotReady(f"no gateway answers at {address} within {wait:g} s; start one with `epm serve`") from None
        self._stub = features_pb2_grpc.FeatureServiceStub(self._channel)

    def get(self, entity_type: str, entity_id: str) -> v1.GetFactsResponse:
        """What is stored of one entity. Raises NotFound."""
        return self._ask(self._stub.GetFacts, _about(v1.GetFactsRequest, entity_type, entity_id))

    def delete(self, entity_type: str, entity_id: str, flush_cache: bool = False) -> bool:
        """Erase one entity; whether anything was stored. flush_cache: drop all kept predictions as well."""
        request = _about(v1.DeleteEntityRequest, entity_type, entity_id)
        request.flush_cache = flush_cache
        return self._ask(self._stub.DeleteEntity, request).existed

    def load(self, file: FactsFile, batch: int) -> Iterator[Loaded]:
        """Send a file; what became of it so far, after each segment.

        While one segment is on its way the next one is read. What is rejected is named on standard error, by its place.
        """
        loaded, messages = Loaded(), file.messages(batch)
        sent: tuple[list[Message], Any] | None = None
        while segment := list(islice(messages, SEGMENT)):
            if sent:
                self._settle(*sent, loaded)
                yield loaded
            sent = segment, self._start(segment)
        if sent:
            self._settle(*sent, loaded)
        yield loaded

    def _start(self, segment: list[Message]) -> Any:
        requests = iter([message.request for message in segment])
        return self._stub.StreamFacts.future(requests, timeout=LONGEST_CALL, metadata=self._metadata)

    def _settle(self, segment: list[Message], call: Any, loaded: Loaded) -> None:
        """Wait until a segment is confirmed; count it.

        Rejected messages are sent again event by event: only events that are wrong are left out, not their neighbours.
        """
        response = self._confirmed(segment, call)
        loaded.entities += sum(len(message.places) for message in segment)
        loaded.rows += sum(message.rows for message in segment)
        loaded.applied += response.applied
        if response.rejections:
            single = [event for one in response.rejections for event in segment[one.message].events()]
            response = self._confirmed(single, self._start(single))
            loaded.applied += response.applied
            for one in response.rejections[: max(SHOWN - loaded.rejected, 0)]:
                print(f"{single[one.message].places[0]}: {one.status.message}", file=sys.stderr)
            loaded.rejected += response.rejected

    def _confirmed(self, segment: list[Message], call: Any) -> v1.StreamFactsResponse:
        """The response to a segment, which is sent again while gateway or store are away."""
        give_up, pause = time.monotonic() + PATIENCE, 0.5
        while True:
            try:
                return call.result()
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() + pause > give_up:
                    raise _refusal(error) from None
                print(f"{error.details()}; trying again in {pause:g} s", file=sys.stderr)
            time.sleep(pause)
            pause = min(2 * pause, 8)
            call = self._start(segment)

    def _ask(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=LONGEST_CALL, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _refusal(error) from None


class Progress:
    """Says on standard error how far a file has got: five times a second on a terminal, else every five seconds."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._began = self._said = time.monotonic()

    def show(self, loaded: Loaded, read: float) -> None:
        """read: how much of the file, 0 to 1."""
        now = time.monotonic()
        if now - self._said < (0.2 if self._terminal else 5):
            return
        self._said = now
        line = f"{read:4.0%}  {loaded}, {loaded.entities / (now - self._began):.0f} entities/s"
        print(f"\r{line}\x1b[K" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr)

    def end(self) -> None:
        """Leave the line."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr)


def show(stored: v1.GetFactsResponse) -> str:
    """A table of everything that is stored of one entity, a line for each fact and for each month."""
    rows = [[_text(one.fact.name), "", _value(one.fact), *_said(one.stamp)] for one in stored.facts]
    for series in stored.monthly_facts:
        year, month = divmod(series.fact.first_month, 100)
        for number, (value, stamp) in enumerate(zip(series.fact.values, series.stamps, strict=True), month - 1):
            if stamp.source:
                named = f"{year + number // 12}-{number % 12 + 1:02}"
                rows.append([_text(series.fact.name), named, _number(value), *_said(stamp)])
    header = ["fact", "month", "value", "source", "as of", "sequence"]
    return "\n".join(table.lines(header, rows, [False, False, True, False, False, True]))


def _value(fact: v1.Fact) -> str:
    kind = fact.WhichOneof("value")
    if kind is None:
        return "-"
    return _text(fact.text) if kind == "text" else _number(fact.number)


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)


def _text(text: str) -> str:
    """As it is, unless it would play with the terminal."""
    return text if text.isprintable() else repr(text)


def _said(stamp: v1.Stamp) -> list[str]:
    as_of = stamp.as_of.ToDatetime(UTC).isoformat(sep=" ").replace("+00:00", "Z")
    return [_text(stamp.source), as_of, str(stamp.sequence)]


def _about(kind: Any, entity_type: str, entity_id: str) -> Any:
    """A request about one entity. An argument that is not UTF-8 comes as a text that cannot be sent."""
    try:
        return kind(entity_type=entity_type, entity_id=entity_id)
    except UnicodeEncodeError:
        raise InvalidInput("type or id of the entity: got bytes that are not UTF-8, expected text") from None


def _refusal(error: Any) -> EpmError:
    """A gRPC error in this program's words."""
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return NotFound(error.details())
    return EpmError(f"{error.code().name}: {error.details()}")
