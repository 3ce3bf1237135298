"""What feeds write and people ask of entities, epm.v1.FeatureService (protos/epm/v1/features.proto).

Messages about what is wrong name fields, lengths and names of facts; never an id, never the value of a fact.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from serving import contract
from serving.contract import MOST_MONTHS
from serving.errors import EpmError, InvalidInput, NotFound, NotReady, Overloaded, PreconditionFailed, Status
from serving.protocols.details import status
from serving.protocols.method import Call, ClientStream, Method, Service, Unary, parse
from serving.store.facts import (
    LONGEST_ID,
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_FACTS,
    MOST_SERIES,
    FactsEvent,
    Months,
    Stamp,
)
from serving.stubs.epm.v1 import features_pb2 as v1

if TYPE_CHECKING:
    from serving.store.redis_store import OnlineStore

WINDOW = 4
"""Messages of one StreamFacts in work at a time: enough to use the time in which Redis answers."""
REPORTED = 100
"""Rejected messages of one StreamFacts that are reported; the others are counted."""
MOST_BYTES = 32 << 20
"""Of messages in work, all calls together: taken apart, they are many times as large."""
AT_A_TIME = 1024
"""Facts and months that are checked before the event loop has its turn again: about a millisecond."""
_EVENT = 16
"""What an event is besides, as so many facts."""
DAY = 86_400

ENTITY_TYPE = re.compile(contract.ENTITY_TYPE)
_REJECTED = (Status.INVALID_ARGUMENT, Status.INTERNAL)
"""What is wrong with one message. Anything else (Redis is away, too late) would be wrong with the next one too."""


Forget = Callable[[str, str, bool, float | None], Awaitable[Callable[[], Awaitable[None]]]]
"""Given entity type, id, whether all predictions go, and a deadline: looks up which predictions are kept of an entity,
and gives what drops them."""


async def _nothing_to_forget(entity_type: str, entity: str, flush: bool, deadline: float | None) -> Any:
    async def nothing() -> None: ...

    return nothing


class FeatureService:
    """The methods of the service, from bytes to bytes. store: None where no Redis is set up.

    forget: told of an entity before it is erased, to drop the predictions kept of it, or all of them: before, and again
    after, as some may be kept meanwhile.
    """

    def __init__(self, store: "OnlineStore | None", max_events: int, forget: Forget = _nothing_to_forget) -> None:
        self._store = store
        self._forget = forget
        self._max_events = max_events
        self._room = _Room(MOST_BYTES)

    def services(self) -> list[Service]:
        """What a listener registers."""
        methods: dict[str, Method] = {
            "PutFacts": Unary(self.put),
            "StreamFacts": ClientStream(self.stream, WINDOW),
            "GetFacts": Unary(self.get),
            "DeleteEntity": Unary(self.delete),
        }
        return [Service("epm.v1.FeatureService", "facts", methods, restricted=True)]

    async def put(self, body: bytes, call: Call) -> bytes:
        """PutFactsRequest -> PutFactsResponse. Raises Overloaded at once where no room is left."""
        with self._room.taken(len(body)):
            applied = await self._write(body, call)
        return v1.PutFactsResponse(applied=applied).SerializeToString(deterministic=True)

    async def take(self, body: bytes, call: Call) -> int:
        """How many events of a message of a stream changed something. Waits for room, so that the stream waits."""
        await self._room.wait(len(body))
        with self._room.taken(len(body)):
            return await self._write(body, call)

    async def _write(self, body: bytes, call: Call) -> int:
        """How many events of a PutFactsRequest changed something. All are checked before the first is written."""
        store = self._opened()
        return await store.put(await _events(parse(v1.PutFactsRequest, body), self._max_events), call.deadline)

    def stream(self) -> "FactsStream":
        """Begin a StreamFacts."""
        self._opened()
        return FactsStream(self)

    async def get(self, body: bytes, call: Call) -> bytes:
        """GetFactsRequest -> GetFactsResponse."""
        store = self._opened()
        request = parse(v1.GetFactsRequest, body)
        _check_entity("", request.entity_type, request.entity_id)
        stored = await store.get(request.entity_type, request.entity_id, call.deadline)
        if stored is None:
            raise NotFound("nothing is stored of this entity")
        response, stamps = v1.GetFactsResponse(), _Stamps()
        for name, (value, stamp) in stored.facts.items():
            response.facts.add(fact=_fact(name, value), stamp=stamps[stamp])
        for name, series in stored.series.items():
            months, said = series.months, [stamps[stamp] for stamp in series.stamps]
            fact = v1.MonthlyFact(name=name, first_month=year_and_month(months.first), values=months.values.tolist())
            response.monthly_facts.add(fact=fact, stamps=said)
        return response.SerializeToString(deterministic=True)

    async def delete(self, body: bytes, call: Call) -> bytes:
        """DeleteEntityRequest -> DeleteEntityResponse."""
        store = self._opened()
        request = parse(v1.DeleteEntityRequest, body)
        _check_entity("", request.entity_type, request.entity_id)
        forget = await self._forget(request.entity_type, request.entity_id, request.flush_cache, call.deadline)
        if not request.flush_cache:
            await forget()  # first: as long as the facts are there, who is told that it failed can ask again
        existed = await store.delete(request.entity_type, request.entity_id, call.deadline)
        try:
            await forget()  # until here a prediction could be made, and kept, again
        except NotReady as error:
            raise NotReady(f"the facts are erased, kept predictions are not: ask with flush_cache ({error})") from error
        return v1.DeleteEntityResponse(existed=existed).SerializeToString(deterministic=True)

    def _opened(self) -> "OnlineStore":
        if self._store is None:
            raise PreconditionFailed("this gateway has no online store: EPM_REDIS_URL is not set")
        return self._store


class _Room:
    """Bytes of messages in work, at most so many; a message larger than all of it is alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._in_work = 0
        self._freed = asyncio.Event()

    def _has(self, size: int) -> bool:
        return not self._in_work or self._in_work + size <= self._most

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take room for a message. Raises Overloaded."""
        if not self._has(size):
            raise Overloaded(f"{self._in_work} bytes of facts are being written, {size} more would exceed {self._most}")
        self._in_work += size
        try:
            yield
        finally:
            self._in_work -= size
            self._freed.set()

    async def wait(self, size: int) -> None:
        """Return when there is room; it has to be taken at once."""
        while not self._has(size):
            self._freed.clear()
            await self._freed.wait()


class FactsStream:
    """One StreamFacts: a message that is wrong is counted; when Redis is away the stream ends with UNAVAILABLE.

    The caller then sends everything again that no response has confirmed: writing is idempotent.
    """

    def __init__(self, service: FeatureService) -> None:
        self._service = service
        self._response = v1.StreamFactsResponse()

    async def take(self, body: bytes, call: Call) -> None:
        """Write the events of one message."""
        applied = await self._service.take(body, call)
        self._response.applied += applied  # not in one line: it would be read before others are done, and theirs lost

    def failed(self, number: int, error: EpmError) -> None:
        """Count a message that is wrong. Raises the error when it is not the message that is to blame."""
        if error.status not in _REJECTED:
            raise error
        self._response.rejected += 1
        if self._response.rejected <= REPORTED:
            self._response.rejections.add(message=number, status=status(error))

    def answer(self, received: int) -> bytes:
        """StreamFactsResponse."""
        self._response.received = received
        return self._response.SerializeToString(deterministic=True)


def year_and_month(month: int) -> int:
    """202603 for the number of months since January 1970."""
    return (1970 + month // 12) * 100 + month % 12 + 1


async def _events(request: v1.PutFactsRequest, most: int) -> list[FactsEvent]:
    """The checked events. Other calls have their turn in between."""
    if not 1 <= len(request.events) <= most:
        raise InvalidInput.cell("events", str(len(request.events)), f"1 to {most}")
    latest = int(time.time()) + DAY
    made, checked = [], 0
    for number, event in enumerate(request.events):
        one = _event(f"events[{number}].", event, latest)
        made.append(one)
        checked += _EVENT + len(one.facts) + sum([len(months.values) for months in one.series.values()])
        if checked >= AT_A_TIME:
            checked = 0
            await asyncio.sleep(0)
    return made


def _event(at: str, event: v1.FactsEvent, latest: int) -> FactsEvent:
    _check_entity(at, event.entity_type, event.entity_id)
    _check_length(at, "source", event.source, LONGEST_NAME)
    if not event.HasField("as_of"):
        raise InvalidInput.cell(f"{at}as_of", "nothing", "the time when it was so")
    seconds, nanos = event.as_of.seconds, event.as_of.nanos
    if not (0 <= seconds <= latest and 0 <= nanos < 1_000_000_000):
        came = "a time of more than a day ahead" if seconds > latest else "a time before 1970, or none"
        raise InvalidInput.cell(f"{at}as_of", came, "a time from 1970 to tomorrow")
    stamp = Stamp(seconds * 1000 + nanos // 1_000_000, event.sequence, event.source)
    facts, series = event.facts, event.monthly_facts
    if not facts and not series:
        raise InvalidInput.cell(f"{at}facts", "none, and no monthly ones", "at least one")
    return FactsEvent(
        event.entity_type,
        event.entity_id,
        stamp,
        _facts(at, facts) if facts else {},
        _series(at, series, seconds) if series else {},
    )


def _facts(at: str, facts: Sequence[v1.Fact]) -> dict[str, float | str | None]:
    if len(facts) > MOST_FACTS:
        raise InvalidInput.cell(f"{at}facts", str(len(facts)), f"at most {MOST_FACTS}")
    made: dict[str, float | str | None] = {}
    for number, fact in enumerate(facts):
        name, kind = fact.name, fact.WhichOneof("value")
        value: float | str | None = None
        if kind == "number":
            value = None if math.isnan(fact.number) else fact.number
            if value is not None and math.isinf(value):
                raise InvalidInput.cell(f"{at}facts[{number}].number", "infinity", "a finite number, or NaN")
        elif kind == "text":
            value = fact.text or None
            if len(fact.text.encode()) > LONGEST_TEXT:
                came = f"{len(fact.text.encode())} bytes"
                raise InvalidInput.cell(f"{at}facts[{number}].text", came, f"at most {LONGEST_TEXT}")
        if name in made or not 0 < len(name.encode()) <= LONGEST_NAME:
            _refuse_name(f"{at}facts[{number}].name", name, made)
        made[name] = value
    return made


def _series(at: str, series: Sequence[v1.MonthlyFact], seconds: int) -> dict[str, Months]:
    """Monthly facts that lie in or before the month of as_of, `seconds` after 1970."""
    if len(series) > MOST_SERIES:
        raise InvalidInput.cell(f"{at}monthly_facts", str(len(series)), f"at most {MOST_SERIES}")
    now = time.gmtime(seconds)
    present = (now.tm_year - 1970) * 12 + now.tm_mon - 1
    made: dict[str, Months] = {}
    for number, monthly in enumerate(series):
        name, first_month = monthly.name, monthly.first_month
        values = np.array(monthly.values[:], np.float64)  # a list first: three times as fast
        if name in made or not 0 < len(name.encode()) <= LONGEST_NAME:
            _refuse_name(f"{at}monthly_facts[{number}].name", name, made)
        year, month = divmod(first_month, 100)
        first = (year - 1970) * 12 + month - 1
        if not (year >= 1970 and 1 <= month <= 12):
            field = f"{at}monthly_facts[{number}].first_month"
            raise InvalidInput.cell(field, str(first_month), "year and month as in 202603, from 197001")
        if not 1 <= len(values) <= MOST_MONTHS:
            field = f"{at}monthly_facts[{number}].values"
            raise InvalidInput.cell(field, f"{len(values)} months", f"1 to {MOST_MONTHS}")
        if first + len(values) - 1 > present:
            field, last = f"{at}monthly_facts[{number}].first_month", year_and_month(first + len(values) - 1)
            raise InvalidInput.cell(field, f"months up to {last}", f"none after {year_and_month(present)}, as of which")
        if np.isinf(values).any():
            field = f"{at}monthly_facts[{number}].values"
            raise InvalidInput.cell(field, "infinity", "finite numbers, or NaN where nothing is said")
        made[name] = Months(first, values)
    return made


def _check_entity(at: str, entity_type: str, entity_id: str) -> None:
    if not ENTITY_TYPE.fullmatch(entity_type):
        came = f"{len(entity_type)} characters that are none" if entity_type else "nothing"
        expected = "a kind of entity such as employee: a-z first, then a-z, 0-9 and _, at most 32"
        raise InvalidInput.cell(f"{at}entity_type", came, expected)
    _check_length(at, "entity_id", entity_id, LONGEST_ID)


def _check_length(at: str, field: str, text: str, most: int) -> None:
    if not 0 < len(text.encode()) <= most:
        raise InvalidInput.cell(f"{at}{field}", f"{len(text.encode())} bytes", f"1 to {most}")


def _refuse_name(field: str, name: str, known: Mapping[str, object]) -> None:
    if name in known:
        raise InvalidInput.cell(field, f"{name} twice in one event", "each once")
    raise InvalidInput.cell(field, f"{len(name.encode())} bytes", f"1 to {LONGEST_NAME}")


def _fact(name: str, value: float | str | None) -> v1.Fact:
    if isinstance(value, str):
        return v1.Fact(name=name, text=value)
    return v1.Fact(name=name) if value is None else v1.Fact(name=name, number=value)


class _Stamps(dict[Stamp | None, v1.Stamp]):
    """Stamps as they are sent; each is made once, as many are there for every month."""

    def __missing__(self, stamp: Stamp | None) -> v1.Stamp:
        made = v1.Stamp()
        if stamp is not None:
            seconds, milliseconds = divmod(stamp.as_of, 1000)
            as_of = Timestamp(seconds=seconds, nanos=milliseconds * 1_000_000)
            made = v1.Stamp(source=stamp.source, as_of=as_of, sequence=stamp.sequence)
        self[stamp] = made
        return made
