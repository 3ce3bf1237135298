"""Calls that share a batch: who goes when, with whom, and that no neighbour feels what becomes of another."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import numpy as np
import pytest
import uvloop

from serving.backends.backend import Tensors
from serving.backends.batch_queue import BatchQueue, Call
from serving.backends.batching import Batcher, Limits, Priority
from serving.errors import BackendFailed, BackendRefused, NotReady, Overloaded, TooLate
from tests.support.batches import ROW_BYTES, SlowBackend, answer, check_answer, cut, rows
from tests.support.virtual_time import run

pytestmark = pytest.mark.unit

WIDE = Limits(rows=1000, bytes=1 << 20, queue_rows=10_000, running=1)


class Scene:
    """A batcher before a slow backend, and the calls made so far; `at` is the time since it began."""

    def __init__(self, limits: Limits = WIDE, backend: SlowBackend | None = None) -> None:
        self.backend = backend or SlowBackend()
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.observe: Callable[[int, int, float], None] = lambda rows, calls, waited: None
        observe = lambda *seen: self.observe(*seen)  # noqa: E731
        self.batcher = Batcher(self.backend.execute, limits, observe, self.loop.time)

    @property
    def at(self) -> float:
        return round(self.loop.time() - self.began, 4)

    def call(
        self, *numbers: int, within: float | None = None, low: bool = False, poison: bool = False
    ) -> asyncio.Task[tuple[float, Any]]:
        """Submit; gives (when it ended, its error or None). An answer is checked."""

        async def ask() -> tuple[float, Any]:
            asked = rows(*numbers, poison=poison)
            deadline = None if within is None else self.loop.time() + within
            try:
                check_answer(await self.batcher.submit(asked, deadline, Priority(low)), asked)
            except Exception as error:
                return self.at, error
            return self.at, None

        return self.loop.create_task(ask())

    async def calls(self, numbers: Iterable[int], **options: Any) -> list[asyncio.Task[tuple[float, Any]]]:
        """One call of one row for each number; they have been submitted."""
        tasks = [self.call(number, **options) for number in numbers]
        await asyncio.sleep(0)
        return tasks

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def scene(**options: Any) -> Callable[[Callable[[Scene], Awaitable[None]]], Callable[[], None]]:
    """A test played on a loop with simulated time."""

    def decorate(play: Callable[[Scene], Awaitable[None]]) -> Callable[[], None]:
        async def main() -> None:
            made = dict(options)
            if "backend" in made:
                made["backend"] = SlowBackend(*made["backend"])
            here = Scene(**made)
            await play(here)
            assert here.batcher.waiting_rows == 0
            await here.pass_time(2)  # batches that nobody waits for end too
            assert here.backend.running == 0
            assert here.loop.timers == 0

        def test() -> None:
            run(main())

        test.__name__ = play.__name__
        return test

    return decorate


# -- how batches are formed


@scene()
async def test_what_comes_while_the_backend_is_busy_fills_the_next_batch(here: Scene) -> None:
    calls = await here.calls(range(5))
    await here.pass_time(0.5)
    assert here.backend.batches == [[0]]
    assert here.batcher.waiting_rows == 4
    assert await asyncio.gather(*calls) == [(1.0, None)] + [(2.0, None)] * 4
    assert here.backend.batches == [[0], [1, 2, 3, 4]]


@scene(limits=Limits(1000, 1 << 20, 1000, running=3))
async def test_as_many_batches_run_at_a_time_as_may(here: Scene) -> None:
    await asyncio.gather(*await here.calls(range(5)))
    assert here.backend.batches == [[0], [1], [2], [3, 4]]
    assert here.backend.most_at_once == 3


@scene()
async def test_a_call_alone_passes_through_untouched(here: Scene) -> None:
    asked = rows(7)
    got = await here.batcher.submit(asked, None)
    assert here.backend.tensors[0] is asked
    assert got is here.backend.given[0]


@scene()
async def test_answers_are_views_of_the_batch_and_keep_the_number_of_rows(here: Scene) -> None:
    first = here.call(0)
    await asyncio.sleep(0)
    asked = [rows(1, 2), rows(3), rows(4, 5, 6)]
    answers = await asyncio.gather(first, *[here.batcher.submit(tensors, None) for tensors in asked])
    for tensors, got in zip(asked, answers[1:], strict=True):
        check_answer(got, tensors)
        for name in got:
            assert np.shares_memory(got[name], here.backend.given[1][name])


@scene(limits=Limits(rows=4, bytes=1 << 20, queue_rows=1000, running=1))
async def test_a_batch_has_no_more_rows_than_allowed_unless_one_call_has(here: Scene) -> None:
    sizes = [1, 2, 2, 3, 9, 4, 1]
    numbers = iter(range(100))
    await asyncio.gather(*[here.call(*[next(numbers) for _ in range(size)]) for size in sizes])
    assert [len(batch) for batch in here.backend.batches] == [1, 4, 3, 9, 4, 1]


@scene(limits=Limits(rows=1000, bytes=3 * ROW_BYTES, queue_rows=1000, running=1))
async def test_a_batch_has_no_more_bytes_than_allowed_unless_one_call_has(here: Scene) -> None:
    await asyncio.gather(*await here.calls(range(6)), here.call(10, 11, 12, 13))
    assert [len(batch) for batch in here.backend.batches] == [1, 3, 2, 4]


@scene(backend=(0.010, 0.001))
async def test_a_batch_ends_before_the_earliest_deadline_in_it(here: Scene) -> None:
    for size in (1, 2, 5, 9):  # so that it knows what a row costs
        assert (await here.call(*range(size)))[1] is None
    here.backend.batches.clear()
    calls = await here.calls(range(50), within=0.0455)
    ended = await asyncio.gather(*calls[:25])
    assert {error for _, error in ended} == {None}
    # the first takes 11 ms, and of the 34 ms that are left then 10 are no row's
    assert [len(batch) for batch in here.backend.batches[:2]] == [1, 24]
    await asyncio.gather(*calls)


@scene(backend=(0.010, 0.001))
async def test_a_deadline_that_cannot_be_met_bounds_no_batch(here: Scene) -> None:
    for size in (1, 2, 5, 9):
        await here.call(*range(size))
    here.backend.batches.clear()
    calls = await here.calls(range(3))
    hopeless = here.call(10, within=0.012)  # 1 ms after the first batch has ended
    calls += await here.calls(range(20, 30))
    assert isinstance((await hopeless)[1], TooLate)
    await asyncio.gather(*calls)
    assert [len(batch) for batch in here.backend.batches] == [1, 13]


@scene()
async def test_what_execute_is_given_as_deadline_is_the_latest_of_its_members(here: Scene) -> None:
    first = here.call(0, within=9)
    await asyncio.sleep(0)
    both = [here.call(1, within=5), here.call(2, within=3)]
    await first
    mixed = [here.call(3, within=7), here.call(4)]
    await asyncio.gather(*both, *mixed)
    deadlines = [None if one is None else round(one - here.began, 4) for one in here.backend.deadlines]
    assert deadlines == [9, 5, None]


@scene()
async def test_each_batch_is_observed(here: Scene) -> None:
    seen: list[tuple[int, int, float]] = []
    here.observe = lambda count, calls, waited: seen.append((count, calls, round(waited, 4)))
    first = here.call(0)
    await here.pass_time(0.25)
    second = here.call(1, 2)
    await here.pass_time(0.25)
    await asyncio.gather(first, second, here.call(3))
    assert seen == [(1, 1, 0.0), (3, 2, 0.75)]


# -- the queue


@scene(limits=Limits(rows=2, bytes=1 << 20, queue_rows=5, running=1))
async def test_a_full_queue_says_so_at_once_and_takes_calls_again_when_it_is_not(here: Scene) -> None:
    calls = await here.calls(range(6))
    ended, error = await here.call(6)
    assert ended == 0
    assert isinstance(error, Overloaded)
    assert "5 rows wait" in str(error)
    await here.pass_time(1.5)
    assert here.batcher.waiting_rows == 3
    assert await asyncio.gather(*calls, here.call(7)) == [
        (1, None),
        *[(2, None)] * 2,
        *[(3, None)] * 2,
        *[(4, None)] * 2,
    ]


@scene(limits=Limits(rows=2, bytes=1, queue_rows=3, running=1))
async def test_an_idle_batcher_takes_a_call_larger_than_the_queue(here: Scene) -> None:
    assert await here.call(*range(100)) == (1, None)


@scene(limits=Limits(rows=2, bytes=1 << 20, queue_rows=5, running=1))
async def test_who_leaves_gives_back_the_rows(here: Scene) -> None:
    first = here.call(0)
    await asyncio.sleep(0)
    patient, leaves, expires = here.call(1), here.call(2, 3), here.call(4, 5, within=0.5)
    await here.pass_time(0.25)
    assert here.batcher.waiting_rows == 5
    leaves.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert here.batcher.waiting_rows == 3
    await here.pass_time(0.3)
    assert here.batcher.waiting_rows == 1
    assert isinstance((await expires)[1], TooLate)
    assert await asyncio.gather(first, patient) == [(1, None), (2, None)]
    assert here.backend.batches == [[0], [1]]


@scene()
async def test_closing_ends_who_waits_and_lets_the_rest_finish(here: Scene) -> None:
    running, *waiting = await here.calls(range(4))
    here.batcher.close()
    for ended, error in await asyncio.gather(*waiting, here.call(9)):
        assert ended == 0
        assert type(error) is NotReady
        assert "shutting down" in str(error)
    assert await running == (1, None)


def test_who_is_gone_or_expired_takes_no_room_in_a_batch() -> None:
    async def main() -> None:
        def call(number: int, deadline: float | None = None) -> Call:
            return Call(rows(number), 1, deadline, Priority.NORMAL, 0.0, asyncio.get_running_loop().create_future())

        queue = BatchQueue(Limits(rows=2, bytes=1 << 20, queue_rows=10, running=1))
        calls = [call(1), call(2, deadline=5.0), call(3), call(4), call(5)]
        for one in calls:
            queue.put(one)
        calls[0].answer.cancel()
        assert queue.take(5.0, lambda count: 0.0) == calls[2:4]  # the timer of the second has not come yet
        assert isinstance(calls[1].answer.exception(), TooLate)
        assert queue.rows == 1

    run(main())


# -- priorities


@scene(limits=Limits(rows=2, bytes=1 << 20, queue_rows=1000, running=1))
async def test_normal_goes_before_low_and_within_each_who_came_first(here: Scene) -> None:
    first = here.call(0)
    await asyncio.sleep(0)
    low = await here.calls((10, 11, 12), low=True)
    normal = await here.calls((1, 2, 3))
    await asyncio.gather(first, *low, *normal)
    assert here.backend.batches == [[0], [1, 2], [3, 10], [11, 12]]


@scene(limits=Limits(rows=2, bytes=1 << 20, queue_rows=1000, running=1))
async def test_low_does_not_starve(here: Scene) -> None:
    calls = [here.call(0)]
    await asyncio.sleep(0)
    low = await here.calls(range(100, 104), low=True)
    for number in range(1, 200, 2):  # two a second, all that the backend can do
        calls += await here.calls((number, number + 1))
        await here.pass_time(0.5)
        calls += await here.calls((1000 + number, 1001 + number))
        await here.pass_time(0.5)
    turns = [turn for turn, batch in enumerate(here.backend.batches) if batch[0] in range(100, 104)]
    assert len(turns) == 2
    assert turns[0] <= 8
    assert turns[1] - turns[0] <= 8
    for task in calls:
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.gather(*low)


# -- who leaves


@pytest.mark.parametrize("stage", ["waiting", "in a batch that has not begun", "being executed"])
@pytest.mark.parametrize("leaving", [{1}, {3}, {1, 2, 3}], ids=str)
def test_a_cancelled_call_leaves_no_neighbour_hanging(stage: str, leaving: set[int]) -> None:
    @scene()
    async def play(here: Scene) -> None:
        calls = await here.calls(range(4))

        def leave() -> None:
            for number in leaving:
                calls[number].cancel()

        def start_and_leave(*formed: Any) -> None:
            start(*formed)
            leave()

        start = here.batcher._start
        if stage == "in a batch that has not begun":
            here.batcher._start = start_and_leave  # type: ignore[method-assign]
        else:
            await here.pass_time(0.5 if stage == "waiting" else 1.5)
            leave()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        for number, one in enumerate(ended[1:], 1):
            assert isinstance(one, asyncio.CancelledError) if number in leaving else one == (2, None)
        assert await here.call(9) in ((2, None), (3, None))  # the batcher goes on
        executed = [number for batch in here.backend.batches for number in batch]
        assert leaving.isdisjoint(executed) or stage == "being executed"

    play()


@scene(backend=(0.050,))
async def test_five_milliseconds_on_a_backend_of_fifty_are_too_late_on_time(here: Scene) -> None:
    hasty, patient = here.call(0, within=0.005), here.call(1)
    ended, error = await hasty
    assert isinstance(error, TooLate)
    assert ended == 0.005
    assert await patient == (0.1, None)


@scene(backend=(0.050,))
async def test_a_late_member_does_not_hurt_the_others_of_its_batch(here: Scene) -> None:
    first = here.call(0)
    await here.pass_time(0.049)
    hasty, patient = here.call(1, within=0.005), here.call(2)
    ended, error = await hasty
    assert (ended, type(error)) == (0.054, TooLate)
    assert await asyncio.gather(first, patient) == [(0.05, None), (0.1, None)]
    assert here.backend.batches == [[0], [1, 2]]


def test_with_the_timers_of_uvloop_nobody_is_too_late_too_early() -> None:
    async def execute(tensors: Tensors, deadline: float | None) -> Tensors:
        await asyncio.sleep(0.05)
        return answer(tensors)

    async def main() -> list[float]:
        batcher = Batcher(execute, WIDE)

        async def ask(milliseconds: float) -> float:
            deadline = time.monotonic() + milliseconds / 1000
            with pytest.raises(TooLate):
                await batcher.submit(rows(1), deadline)
            return time.monotonic() - deadline

        return await asyncio.gather(*[ask(5 + number / 10) for number in range(100)])

    assert min(uvloop.run(main())) >= 0


@scene()
async def test_a_deadline_that_has_passed_is_not_sent(here: Scene) -> None:
    assert isinstance((await here.call(0, within=0.0))[1], TooLate)
    assert here.backend.batches == []


# -- what fails


@scene()
async def test_one_bad_row_fails_alone(here: Scene) -> None:
    calls = await here.calls(range(40))
    bad = here.call(100, poison=True)
    calls += await here.calls(range(40, 64))
    ended = await asyncio.gather(*calls)
    assert {error for _, error in ended} == {None}
    assert isinstance((await bad)[1], BackendRefused)
    assert len(here.backend.batches) <= 2 + 2 * 6  # 64 calls are halved six times


@scene()
async def test_refused_calls_cost_as_many_batches_as_halving_takes(here: Scene) -> None:
    first = here.call(0)
    await asyncio.sleep(0)
    calls = [here.call(number, poison=number % 64 == 0) for number in range(1, 257)]
    ended = await asyncio.gather(first, *calls)
    refused = [number for number, (_, error) in enumerate(ended) if isinstance(error, BackendRefused)]
    assert refused == [64, 128, 192, 256]
    assert len(here.backend.batches) <= 2 + 4 * 2 * 8


@scene()
async def test_a_refused_batch_is_not_tried_for_who_has_left(here: Scene) -> None:
    calls = await here.calls(range(1))
    calls += [here.call(number, poison=number == 3) for number in range(1, 9)]
    await here.pass_time(1.5)
    for number in (5, 6, 7, 8):
        calls[number].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert here.backend.batches == [[0], list(range(1, 9)), [1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]


@pytest.mark.parametrize("error", [BackendFailed("out of order"), ZeroDivisionError("a mistake")], ids=repr)
def test_a_failure_is_every_members(error: Exception) -> None:
    async def execute(tensors: Tensors, deadline: float | None) -> Tensors:
        await asyncio.sleep(1)
        raise error

    async def main() -> list[Any]:
        batcher = Batcher(execute, WIDE, clock=asyncio.get_running_loop().time)
        return await asyncio.gather(*[batcher.submit(rows(n), None) for n in range(4)], return_exceptions=True)

    got = run(main())
    assert [(type(one), str(one)) for one in got] == [(type(error), str(error))] * 4
    if isinstance(error, BackendFailed):  # a tracebacks of its own for each
        assert len({id(one) for one in [error, *got]}) == 5


def test_an_answer_with_a_wrong_number_of_rows_is_given_to_nobody() -> None:
    async def execute(tensors: Tensors, deadline: float | None) -> Tensors:
        await asyncio.sleep(1)
        return await cut(tensors)

    async def main() -> list[Any]:
        batcher = Batcher(execute, WIDE, clock=asyncio.get_running_loop().time)
        return await asyncio.gather(*[batcher.submit(rows(n, n), None) for n in range(4)], return_exceptions=True)

    assert [type(error) for error in run(main())] == [BackendFailed] * 4


class Strange(BaseException):
    """Nothing that a backend should raise."""


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Strange(), StopIteration()], ids=repr)
def test_whatever_ends_the_executing_task_ends_its_calls_and_the_next_go_on(error: BaseException) -> None:
    class Broken:
        """Raises at once, the first time, where nobody expects it; answers afterwards."""

        def __init__(self) -> None:
            self.asked = 0

        def execute(self, tensors: Tensors, deadline: float | None) -> Awaitable[Tensors]:
            self.asked += 1
            if self.asked == 1:
                raise error
            return SlowBackend().execute(tensors, deadline)

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        batcher = Batcher(Broken().execute, WIDE, clock=loop.time)
        got = await asyncio.gather(*[batcher.submit(rows(n), None) for n in range(3)], return_exceptions=True)
        loop.complaints.clear()  # asyncio says that such a task ended badly, and rightly
        return got

    failed, *answered = run(main())
    assert isinstance(failed, BackendFailed)
    for number, got in enumerate(answered, 1):
        check_answer(got, rows(number))


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_a_batch_whose_task_is_cancelled_ends_its_calls(steps: int) -> None:
    async def main() -> list[Any]:
        batcher = Batcher(SlowBackend().execute, WIDE, clock=asyncio.get_running_loop().time)
        calls = [asyncio.ensure_future(batcher.submit(rows(n), None)) for n in range(3)]
        await asyncio.sleep(0)
        assert len(batcher._running) == 1
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in batcher._running:
            task.cancel()
        return await asyncio.gather(*calls, return_exceptions=True)

    failed, *answered = run(main())
    assert isinstance(failed, BackendFailed)
    for number, got in enumerate(answered, 1):
        check_answer(got, rows(number))


def test_cancelling_every_task_at_once_ends_every_task() -> None:
    async def main() -> list[Any]:
        batcher = Batcher(SlowBackend().execute, WIDE, clock=asyncio.get_running_loop().time)
        calls = [asyncio.ensure_future(batcher.submit(rows(n), None)) for n in range(3)]
        await asyncio.sleep(0.5)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return ended

    assert {type(error) for error in run(main())} == {asyncio.CancelledError}


def test_the_answer_of_the_test_backend_tells_rows_apart() -> None:
    with pytest.raises(AssertionError):
        check_answer(answer(rows(1, 2)), rows(2, 1))
