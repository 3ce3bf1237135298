"""What is known is not computed, what two calls want is computed once, and nobody waits for what does not come."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.cache.layout import OutputLayout
from serving.cache.policy import Choice
from serving.cache.prediction_cache import PredictionCache
from serving.cache.table import Table
from serving.errors import BackendFailed, TooLate
from tests.support.predictions import KEY, LAYOUT, Model, cache, check, known, rows_of_numbers

pytestmark = pytest.mark.unit


def soon() -> float:
    return time.monotonic() + 0.05


async def turns(count: int = 20) -> None:
    """Let everybody go on as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)


def on_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it; it must end in time, and leave no task behind."""

    async def watched() -> None:
        async with asyncio.timeout(20):
            await work()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watched())


def infer(cached: PredictionCache, model: Model, *numbers: int, deadline: float | None = None) -> Coroutine:
    return cached.infer(rows_of_numbers(*numbers), deadline, model.infer)


def ask(way: str, cached: PredictionCache, model: Model, *numbers: int) -> Any:
    """Outputs of these rows, asked for by `run` or by `infer`."""
    if way == "run":
        return cached.run(rows_of_numbers(*numbers), model.run)
    return asyncio.run(infer(cached, model, *numbers))


@pytest.mark.parametrize("way", ["run", "infer"])
def test_of_64_rows_of_which_60_are_known_4_are_computed_in_one_call(way: str) -> None:
    cached, model = cache(), Model()
    check(ask(way, cached, model, *range(60)), *range(60))
    shuffled = random.Random(0).sample(range(64), 64)
    check(ask(way, cached, model, *shuffled), *shuffled)
    assert model.calls[1:] == [[number for number in shuffled if number >= 60]]
    check(ask(way, cached, model, *shuffled), *shuffled)
    assert len(model.calls) == 2
    assert known(cached, rows_of_numbers(3, 99)).hits.tolist() == [True, False]


@pytest.mark.parametrize("way", ["run", "infer"])
def test_equal_rows_of_one_call_are_computed_once(way: str) -> None:
    cached, model = cache(), Model()
    numbers = [5, 6, 5, 5, 7, 6]
    check(ask(way, cached, model, *numbers), *numbers)
    assert model.calls == [[5, 6, 7]]


def test_another_artifact_never_gets_an_old_answer() -> None:
    table, model = Table(Table.bytes_for(64, LAYOUT.width), LAYOUT.width), Model()
    for digest in ("first", "second"):
        made = cache(digest)
        made.table = table
        made.run(rows_of_numbers(1, 2), model.run)
    assert model.calls == [[1, 2], [1, 2]]


def test_answers_end_with_their_time_to_live_and_not_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    cached, model = cache(entries=8192, ttl_seconds=100.0, jitter=0.2), Model()
    numbers = range(1000)
    cached.run(rows_of_numbers(*numbers), model.run)
    left = []
    for later in (79.9, 90, 100.1):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        left.append(int(known(cached, rows_of_numbers(*numbers)).hits.sum()))
    assert left[0] == 1000
    assert 300 < left[1] < 700
    assert left[2] == 0


@pytest.mark.parametrize("way", ["run", "infer"])
def test_a_failure_is_raised_and_not_kept(way: str) -> None:
    cached, model = cache(), Model()
    model.fault = BackendFailed("a test")
    for _ in range(2):
        with pytest.raises(BackendFailed, match="a test"):
            ask(way, cached, model, 1)
    assert len(model.calls) == 2
    assert cached.table.entries == 0


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"double": np.zeros((2, 2), np.float32)},
        {"double": np.zeros((1, 2), np.float32), "label": np.zeros(1, np.int32)},
        {"double": np.zeros((2, 3), np.float32), "label": np.zeros(2, np.int32)},
        {"double": np.zeros((2, 2), np.float64), "label": np.zeros(2, np.int32)},
        {"double": np.full((2, 2), np.nan, np.float32), "label": np.zeros(2, np.int32)},
    ],
)
def test_what_was_not_promised_is_a_failure(outputs: dict[str, np.ndarray]) -> None:
    cached = cache()
    with pytest.raises(BackendFailed, match="output"):
        cached.run(rows_of_numbers(1, 2), lambda _: outputs)
    assert cached.table.entries == 0


def test_fifty_calls_for_the_same_row_compute_it_once() -> None:
    cached, model = cache(), Model()

    async def work() -> None:
        for outputs in await asyncio.gather(*(infer(cached, model, 7, number) for number in range(100, 150))):
            assert outputs["label"][0] == 7

    on_a_loop(work)
    assert model.computed == [7, *range(100, 150)]
    assert cached.rows["shared"] == 49
    assert not cached._flights


def test_two_calls_that_each_compute_what_the_other_wants_do_not_wait_for_each_other() -> None:
    cached, model = cache(), Model()

    async def work() -> None:
        model.gate = asyncio.Event()
        calls = [asyncio.create_task(infer(cached, model, *numbers)) for numbers in ((1,), (2,), (1, 2, 3), (3, 2, 1))]
        await turns()
        model.gate.set()
        for outputs, numbers in zip(await asyncio.gather(*calls), ((1,), (2,), (1, 2, 3), (3, 2, 1)), strict=True):
            check(outputs, *numbers)

    on_a_loop(work)
    assert model.computed == [1, 2, 3]


def test_whoever_waits_for_a_call_that_is_cancelled_takes_over_together() -> None:
    cached, model = cache(), Model()

    async def work() -> None:
        model.gate = asyncio.Event()
        leader = asyncio.create_task(infer(cached, model, 1, 2))
        await turns()
        followers = [asyncio.create_task(infer(cached, model, 2)) for _ in range(10)]
        await turns()
        assert len(model.calls) == 1
        leader.cancel()
        await turns()
        model.gate.set()
        for outputs in await asyncio.gather(*followers):
            check(outputs, 2)
        with pytest.raises(asyncio.CancelledError):
            await leader

    on_a_loop(work)
    assert model.calls == [[1, 2], [2]]
    assert not cached._flights


@pytest.mark.parametrize("fault", [BackendFailed("a test"), TooLate("a test"), RuntimeError("a test")])
def test_whoever_waits_for_a_call_that_fails_takes_over_together(fault: Exception) -> None:
    cached, model = cache(), Model()

    async def work() -> None:
        model.gate, model.fault = asyncio.Event(), fault
        leader = asyncio.create_task(infer(cached, model, 1))
        await turns()
        followers = [asyncio.create_task(infer(cached, model, 1)) for _ in range(10)]
        await turns()
        model.fault = None
        model.gate.set()
        with pytest.raises(type(fault)):
            await leader
        for outputs in await asyncio.gather(*followers):
            check(outputs, 1)

    on_a_loop(work)
    assert model.calls == [[1], [1]]


def test_while_the_model_fails_every_time_nobody_waits_for_all_the_others_one_after_the_other() -> None:
    cached, model = cache(), Model()
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        model.fault = BackendFailed("a test")
        calls = [asyncio.create_task(infer(cached, model, 1)) for _ in range(50)]
        while not all(call.done() for call in calls):
            rounds += 1
            await asyncio.sleep(0)
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, BackendFailed)

    on_a_loop(work)
    assert rounds < 30


def test_a_deadline_holds_while_another_call_computes_and_hurts_nobody_else() -> None:
    cached, model = cache(), Model()

    async def work() -> None:
        model.gate = asyncio.Event()
        leader = asyncio.create_task(infer(cached, model, 1))
        await turns()
        patient = asyncio.create_task(infer(cached, model, 1))
        with pytest.raises(TooLate):
            await infer(cached, model, 1, deadline=soon())
        with pytest.raises(TooLate):
            await infer(cached, model, 1, deadline=time.monotonic() - 1)
        model.gate.set()
        check(await leader, 1)
        check(await patient, 1)

    on_a_loop(work)
    assert model.calls == [[1]]


def test_a_call_that_waits_and_is_cancelled_leaves_nothing_behind() -> None:
    cached, model = cache(), Model()

    async def work() -> None:
        model.gate = asyncio.Event()
        leader = asyncio.create_task(infer(cached, model, 1))
        await turns()
        follower = asyncio.create_task(infer(cached, model, 1, 2))
        await turns()
        follower.cancel()
        with pytest.raises(asyncio.CancelledError):
            await follower
        assert len(cached._flights) == 1
        model.gate.set()
        check(await leader, 1)
        assert not cached._flights

    on_a_loop(work)


def test_when_all_is_known_no_task_is_made_and_nothing_is_waited_for() -> None:
    cached, model = cache(), Model()
    cached.run(rows_of_numbers(1, 2), model.run)
    call = infer(cached, model, 2, 1)
    with pytest.raises(StopIteration) as end:  # at the first step, without an event loop
        call.send(None)
    check(end.value.value, 2, 1)


def test_what_is_dropped_is_computed_again_also_if_it_was_being_computed() -> None:
    cached, model = cache(), Model()

    async def work() -> None:
        await infer(cached, model, 1, 2)
        await cached.drop(rows_of_numbers(1))
        await infer(cached, model, 1, 2)
        assert model.calls == [[1, 2], [1]]
        model.gate = asyncio.Event()
        call = asyncio.create_task(infer(cached, model, 3))
        await turns()
        await cached.drop(rows_of_numbers(3))
        model.gate.set()
        check(await call, 3)
        assert not known(cached, rows_of_numbers(3)).hits.any()

    on_a_loop(work)


def test_a_choice_that_says_no_has_all_rows_computed_and_hears_what_it_took() -> None:
    heard = []

    class Never(Choice):
        def computed(self, rows: int, seconds: float) -> None:
            heard.append((rows, seconds > 0))

    cached, model = cache(choice=Never(False, False)), Model()
    for _ in range(2):
        cached.run(rows_of_numbers(1, 1), model.run)
        asyncio.run(infer(cached, model, 2))
    assert model.calls == [[1, 1], [2], [1, 1], [2]]
    assert heard == [(2, True), (1, True)] * 2
    assert cached.table.entries == 0


def test_a_table_of_another_width_is_refused() -> None:
    made = cache()
    with pytest.raises(ValueError, match="expected 12"):
        PredictionCache(LAYOUT, made._row_keys, Table(4096, 16), None, 1.0)


def test_calls_in_many_threads_get_their_own_answers() -> None:
    cached, model, wrong = cache(entries=64), Model(), []

    def work(seed: int) -> None:
        source = random.Random(seed)
        for _ in range(100):
            numbers = [source.randrange(200) for _ in range(20)]
            outputs = cached.run(rows_of_numbers(*numbers), model.run)
            wrong.extend(set(outputs["label"].tolist()) ^ set(numbers))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class Unsteady:
    """A model that takes as many turns as it is told, and then answers or fails."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._model = Model()

    async def infer(self, tensors: Any, deadline: float | None) -> Any:
        await turns(self._source.randrange(6))
        outcome = self._source.random()
        if outcome < 0.2:
            raise BackendFailed("unsteady")
        if outcome < 0.3:
            raise TooLate("unsteady")
        return self._model.run(tensors)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), calls=st.integers(1, 30))
def test_in_any_interleaving_every_call_ends_once_with_its_own_rows(seed: int, calls: int) -> None:
    source = random.Random(seed)
    cached, model = cache(entries=8, ttl_seconds=source.choice((0.0005, 100.0))), Unsteady(source)

    async def call(numbers: list[int]) -> None:
        deadline = source.choice((None, time.monotonic() + source.random() * 0.002))
        with contextlib.suppress(BackendFailed, TooLate):
            check(await cached.infer(rows_of_numbers(*numbers), deadline, model.infer), *numbers)

    async def work() -> None:
        tasks = []
        for _ in range(calls):
            numbers = [source.randrange(8) for _ in range(source.randrange(1, 6))]
            tasks.append(asyncio.create_task(call(numbers)))
            await turns(source.randrange(4))
            if source.random() < 0.2:
                source.choice(tasks).cancel()
            if source.random() < 0.1:
                await cached.drop(rows_of_numbers(source.randrange(8)))
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert not cached._flights

    on_a_loop(work)


@given(st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_outputs_of_any_shape_come_back_as_they_were(rows: int, seed: int) -> None:
    promised = {"a": ("float32", (3,)), "b": ("int32", ()), "c": ("float32", ()), "d": ("int32", (2, 2))}
    layout, source = OutputLayout(promised), np.random.default_rng(seed)
    outputs = {
        name: (source.normal(size=(rows, *shape)) * 1e6).astype(kind) for name, (kind, shape) in promised.items()
    }
    packed = layout.pack(outputs, rows)
    assert (packed.shape, packed.dtype) == ((rows, 4 * 9), np.uint8)
    unpacked = layout.unpack(packed)
    assert list(unpacked) == list(promised)
    for name, output in unpacked.items():
        assert (output.dtype, output.shape) == (outputs[name].dtype, outputs[name].shape)
        assert output.tobytes() == outputs[name].tobytes()
        assert output.flags.carray


def test_outputs_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        OutputLayout({"a": ("float64", ())})


def test_nothing_shows_rows_or_the_key() -> None:
    made = cache()
    shown = repr(made) + repr(known(made, rows_of_numbers(77))) + repr(made.table) + repr(made._row_keys) + repr(KEY)
    assert "array" not in shown
