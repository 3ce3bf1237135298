"""Random interleavings of submit, cancel, expire, failure and closing: every call ends once, with its own answer.

Simulated time: a call that would hang, or end later than it may, is seen for certain.
"""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.backends.backend import Tensors
from serving.backends.batching import Batcher, Limits, Priority
from serving.errors import BackendFailed, BackendRefused, NotReady, Overloaded, TooLate
from tests.support.batches import FAULTS, ROW_BYTES, SlowBackend, check_answer, numbers_of, rows
from tests.support.virtual_time import VirtualTimeLoop, run

pytestmark = pytest.mark.unit

MOMENT = 1e-6
"""Seconds: shorter than any step, longer than what rounding makes of a time."""


@dataclass(frozen=True)
class Asked:
    """One call. after: seconds since the one before; within, cancel: seconds from then to its deadline, to its end."""

    after: float
    rows: int
    low: bool
    within: float | None
    cancel: float | None
    poison: bool


@dataclass(frozen=True)
class Script:
    """What happens. faults: of the batches in turn, "" for none; slow: by what factor; close: when, if ever."""

    calls: list[Asked]
    limits: Limits
    faults: list[str]
    slow: list[float]
    close: float | None


@dataclass
class Seen:
    """What became of one call. executed: the faults of the batches that it was in."""

    asked: Asked
    number: int
    began: float = 0.0
    ended: list[tuple[float, object]] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)

    @property
    def tensors(self) -> Tensors:
        """Rows that no other call has."""
        return rows(*range(self.number * 100, self.number * 100 + self.asked.rows), poison=self.asked.poison)

    @property
    def gives_up(self) -> float:
        """When nobody waits for it any longer."""
        limits = [limit for limit in (self.asked.within, self.asked.cancel) if limit is not None]
        return self.began + min(limits, default=float("inf"))


class Faulty(SlowBackend):
    """Does what the script says, and keeps which call was in which batch, and whether anybody still waited for it."""

    def __init__(self, script: Script, seen: list[Seen]) -> None:
        super().__init__(fixed=0.010, per_row=0.001)
        self._script, self._seen = script, seen
        self._turns = 0
        self.stops: list[float] = []

    async def execute(self, tensors: Tensors, deadline: float | None) -> Tensors:
        turn, now = self._turns, asyncio.get_running_loop().time()
        self._turns += 1
        numbers = numbers_of(tensors)
        members = [self._seen[number] for number in dict.fromkeys(number // 100 for number in numbers)]
        limits = self._script.limits
        assert numbers == [n for one in members for n in numbers_of(one.tensors)]
        assert len(members) == 1 or (len(numbers) <= limits.rows and len(numbers) * ROW_BYTES <= limits.bytes)
        assert all(not one.ended and now < one.gives_up + MOMENT for one in members)
        deadlines = [None if one.asked.within is None else one.began + one.asked.within for one in members]
        assert deadline == (None if None in deadlines else max(deadlines))
        fault = self._script.faults[turn % len(self._script.faults)]
        for one in members:
            one.executed.append(fault)
        try:
            if fault == "stop at once":
                raise asyncio.CancelledError
            await asyncio.sleep(0.010 * self._script.slow[turn % len(self._script.slow)])
            outputs = await super().execute(tensors, deadline)
            return await FAULTS[fault](tensors) if fault else outputs
        except asyncio.CancelledError:
            self.stops.append(asyncio.get_running_loop().time())
            raise


def seconds(most: float) -> st.SearchStrategy[float]:
    return st.integers(0, int(most * 1000)).map(lambda milliseconds: milliseconds / 1000)


asked = st.builds(
    Asked,
    after=st.one_of(st.just(0.0), st.just(0.0), seconds(0.030)),
    rows=st.integers(1, 6),
    low=st.booleans(),
    within=st.one_of(st.none(), seconds(0.150)),
    cancel=st.one_of(st.none(), st.none(), seconds(0.100)),
    poison=st.integers(0, 9).map(lambda drawn: drawn == 0),
)
limits = st.builds(
    Limits,
    rows=st.integers(1, 20),
    bytes=st.integers(1, 20 * ROW_BYTES),
    queue_rows=st.one_of(st.integers(1, 20), st.just(1000)),
    running=st.integers(1, 3),
)
scripts = st.builds(
    Script,
    calls=st.lists(asked, min_size=1, max_size=30),
    limits=limits,
    faults=st.lists(st.sampled_from(["", "", "", "stop at once", *FAULTS]), min_size=1, max_size=8),
    slow=st.lists(st.sampled_from([0.0, 0.0, 1.0, 20.0]), min_size=1, max_size=5),
    close=st.one_of(st.none(), st.none(), seconds(0.300)),
)


async def play(script: Script) -> tuple[list[Seen], list[float]]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    seen = [Seen(asked, number) for number, asked in enumerate(script.calls)]
    backend = Faulty(script, seen)
    waiting: list[float] = []
    batcher = Batcher(backend.execute, script.limits, lambda rows, calls, waited: waiting.append(waited), loop.time)

    async def ask(one: Seen) -> None:
        deadline = None if one.asked.within is None else one.began + one.asked.within
        try:
            ended: object = await batcher.submit(one.tensors, deadline, Priority(one.asked.low))
        except (Exception, asyncio.CancelledError) as error:
            ended = error
        one.ended.append((loop.time(), ended))

    tasks: list[asyncio.Task[None]] = []
    if script.close is not None:
        loop.call_later(script.close, batcher.close)
    for one in seen:
        if one.asked.after:
            await asyncio.sleep(one.asked.after)
        one.began = loop.time()
        tasks.append(loop.create_task(ask(one)))
        if one.asked.cancel is not None:
            loop.call_later(one.asked.cancel, tasks[-1].cancel)
        assert 0 <= batcher.waiting_rows <= script.limits.queue_rows
    await asyncio.gather(*tasks)
    assert batcher.waiting_rows == 0
    await asyncio.sleep(60)  # batches that nobody waits for end too
    assert not batcher._running
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert backend.most_at_once <= script.limits.running
    assert all(waited >= 0 for waited in waiting)
    return seen, backend.stops


def check(one: Seen, script: Script, stops: list[float]) -> None:
    """It ended once, in time, and for a reason. stops: when batches were given up, with all that was left of them."""
    ((at, ended),) = one.ended
    assert at <= one.gives_up + MOMENT
    fault = one.executed[-1] if one.executed else None
    if not isinstance(ended, BaseException):
        check_answer(ended, one.tensors)
        assert (fault, one.asked.poison) == ("", False)
        return
    kind = type(ended)
    if kind is asyncio.CancelledError:
        assert one.asked.cancel is not None
        assert at == pytest.approx(one.began + one.asked.cancel, abs=MOMENT)
    elif kind is TooLate and fault != "late":
        assert one.asked.within is not None
        assert at == pytest.approx(one.began + one.asked.within, abs=MOMENT)
    elif kind is Overloaded:
        assert (at, fault) == (one.began, None)
    elif kind is NotReady:
        assert fault is None
        assert script.close is not None
    elif kind is BackendRefused:
        assert one.asked.poison
    elif kind is BackendFailed:
        assert fault in ("fail", "cut") or any(abs(at - stop) < MOMENT for stop in stops)
    else:
        assert (kind, fault) in ((TooLate, "late"), (ZeroDivisionError, "crash"))


@settings(deadline=None, max_examples=500)
@given(scripts)
def test_every_call_ends_once_with_its_own_answer_or_the_right_error(script: Script) -> None:
    seen, stops = run(play(script))
    for one in seen:
        check(one, script, stops)
