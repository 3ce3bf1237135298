"""From inputs to outputs of one version: what is kept, shared and refused, and that nothing of it stays behind."""

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from serving.backends.backend import Backend, Tensors
from serving.errors import BackendFailed, BackendRefused, NotReady
from serving.features.rows import Cells
from serving.hash_key import HashKey
from serving.inference import LOOKED_UP, Inferences, Keeping
from serving.pipeline import Entities, Pipeline
from serving.repository.making import Making
from serving.repository.repository import Repository
from serving.repository.served import ServedModel
from serving.repository.versions import load_version
from serving.settings import Settings
from serving.stages import ENCODE, NAMES, QUEUE, Stopwatch
from serving.store.fetched import NOT_FOUND, UNAVAILABLE, Fetched
from tests.support.models import FEATURES, write_version
from tests.support.stores import eventually

pytestmark = pytest.mark.unit

KINDS: dict[str, dict[str, object]] = {
    "plain": {"cache": "off"},
    "kept": {"cache": "local"},
    "together": {"cache": "off", "batching": "on"},
    "kept, together": {"cache": "local", "batching": "on"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    write_version(path)
    return path


@pytest.fixture
def served(root: Path) -> ServedModel:
    return load_version(root / "small" / "1")


def pipeline(root: Path, store: object = None, **settings: object) -> Pipeline:
    return Pipeline(Repository(root), Settings(model_repo=str(root), **settings), store)


def rows(count: int, seed: int = 0) -> dict[str, Cells]:
    values = np.random.default_rng(seed).normal(size=(count, len(FEATURES)))
    return {"features": values.astype(np.float32)}


class Nobody:
    """A store that knows no one."""

    async def fetch(self, entity_type: str, ids: list[str], deadline: float | None) -> Fetched:
        none, n = np.zeros(len(ids), np.int64), len(ids)
        return Fetched(np.zeros(1, np.uint8), none, none, np.full(n, NOT_FOUND, np.uint8), np.zeros(n, np.bool_))


class Unreachable:
    """A store that does not answer."""

    async def fetch(self, entity_type: str, ids: list[str], deadline: float | None) -> Fetched:
        fetched = await Nobody().fetch(entity_type, ids, deadline)
        fetched.state[:] = UNAVAILABLE
        return fetched


class Elsewhere(Backend):
    """A backend that takes its time; `away` it fails."""

    name, away = "elsewhere", False

    def __init__(self, served: ServedModel) -> None:
        self._run = served.run

    async def infer(self, tensors: Tensors, deadline: float | None) -> Tensors:
        await asyncio.sleep(0.002)
        if self.away:
            raise BackendFailed("away")
        return self._run(tensors)


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_that_nobody_uses_any_more_gives_its_memory_back_at_once(kind: str, root: Path) -> None:
    """Also where Python's collector of cycles does not come by for hours."""
    making = Making(shadow=lambda model: "onnxruntime")
    served = [load_version(root / "small" / "1", making)]

    def left(watched: list[weakref.ref[object]]) -> list[weakref.ref[object]]:
        return [one for one in watched if one() is not None]

    async def ask() -> list[weakref.ref[object]]:
        pipe = pipeline(root, shadow_backend="onnxruntime", shadow_fraction=1.0, **KINDS[kind])
        for count in (1, 100):
            await pipe.predict(served[0], rows(count))
        inference = pipe.inferences.of(served[0])
        kept = [served[0], inference, inference.chain, inference.batcher, served[0].backend]
        kept += [inference.cache.table] if inference.cache is not None else []
        watched = [weakref.ref(one) for one in kept]
        del inference, kept
        served.clear()
        await eventually(lambda: not left(watched), 5)  # the shadow may still be comparing
        return left(watched)

    with without_collector():
        assert asyncio.run(ask()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_entity_that_is_not_there_is_an_error_of_its_row_and_not_of_the_call(
    kind: str, root: Path, served: ServedModel
) -> None:
    """Its features are none: what a model makes of them is no number, which is refused from everybody else."""

    async def ask() -> None:
        prediction = await pipeline(root, Nobody(), **KINDS[kind]).predict(
            served, {}, None, Entities("employee", ["ann", "bob"])
        )
        assert [str(error.error) for error in prediction.errors] == ["nothing is stored of this entity"]
        assert prediction.tensors["label"].tolist() == [-1, -1]
        assert np.isnan(prediction.tensors["probabilities"]).all()

    asyncio.run(ask())


@pytest.mark.parametrize("kind", KINDS)
def test_rows_at_which_a_graph_overflows_are_refused_and_fail_alone(kind: str, root: Path, served: ServedModel) -> None:
    async def ask() -> None:
        pipe = pipeline(root, worker_threads=1, **KINDS[kind])
        calls = [pipe.predict(served, rows(1, seed)) for seed in range(9)]
        calls.insert(4, pipe.predict(served, {"features": np.full((1, len(FEATURES)), 3e38, np.float32)}))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(outcomes.pop(4), BackendRefused)
        for seed, prediction in enumerate(outcomes):
            assert not isinstance(prediction, BaseException)
            expected = served.run({"features": rows(1, seed)["features"]})
            np.testing.assert_allclose(prediction.tensors["probabilities"], expected["probabilities"], atol=1e-6)

    asyncio.run(ask())


def test_no_rows_never_reach_onnxruntime(served: ServedModel) -> None:
    with pytest.raises(BackendRefused, match="no rows"):
        served.run({"features": np.empty((0, len(FEATURES)), np.float32)})


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_caller_does_to_its_answer_changes_nobody_elses(kind: str, root: Path, served: ServedModel) -> None:
    async def ask() -> None:
        pipe = pipeline(root, **KINDS[kind])
        expected = served.run({"features": rows(5)["features"]})
        for _ in range(3):
            both = await asyncio.gather(pipe.predict(served, rows(5)), pipe.predict(served, rows(5)))
            for name, values in expected.items():
                np.testing.assert_allclose(both[0].tensors[name], values, atol=1e-6)
                both[0].tensors[name][...] = 7
                np.testing.assert_allclose(both[1].tensors[name], values, atol=1e-6)

    asyncio.run(ask())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 63, 65, LOOKED_UP, LOOKED_UP + 1, 3 * LOOKED_UP + 5])
def test_answers_are_of_the_same_rows_types_and_shapes_however_they_are_made(
    kind: str, count: int, root: Path, served: ServedModel
) -> None:
    object.__setattr__(served, "backends", (Elsewhere(load_version(root / "small" / "1")),))
    expected = served_here = load_version(root / "small" / "1").run({"features": rows(count)["features"]})

    async def ask() -> None:
        pipe = pipeline(root, batch_rows=100, **KINDS[kind])
        for _ in range(2):
            prediction = await pipe.predict(served, rows(count))
            for name, values in expected.items():
                got = prediction.tensors[name]
                assert (got.dtype, got.shape) == (values.dtype, values.shape)
                np.testing.assert_allclose(got, served_here[name], atol=1e-6)

    asyncio.run(ask())


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_stays_in_flight_whether_calls_are_answered_fail_or_are_cancelled(
    kind: str, root: Path, served: ServedModel
) -> None:
    elsewhere = Elsewhere(load_version(root / "small" / "1"))
    object.__setattr__(served, "backends", (elsewhere,))

    async def ask() -> None:
        pipe = pipeline(root, batch_rows=16, **KINDS[kind])
        for away in (False, True):
            elsewhere.away = away
            calls = [asyncio.ensure_future(pipe.predict(served, rows(count, count))) for count in (1, 40, 300, 2000)]
            calls += [asyncio.ensure_future(pipe.predict(served, rows(count, count + 1))) for count in (1, 40, 300)]
            await asyncio.sleep(0.001)
            for call in calls[4:]:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        await eventually(lambda: pipe.rows_in_flight == 0, 5)

    asyncio.run(ask())


def test_only_what_is_served_now_is_told_of_caches_each_version_once(root: Path, served: ServedModel) -> None:
    """A version that was exported again has the number of the one before it, which may still be answering."""

    async def ask() -> None:
        inferences, again = (
            Inferences(Settings(model_repo=str(root), cache="local")),
            load_version(root / "small" / "1"),
        )
        caches = [inferences.of(one).cache for one in (served, again)]
        assert [cache for _, _, cache in inferences.caches([again])] == caches[1:]
        assert list(inferences.caches([load_version(root / "small" / "1")])) == []

    asyncio.run(ask())


@pytest.mark.parametrize(("at_server", "kept"), [(False, False), (True, True)])
def test_auto_keeps_what_a_server_computes_also_where_a_quick_backend_stands_in(
    at_server: bool, kept: bool, root: Path, served: ServedModel
) -> None:
    quick = load_version(root / "small" / "1")
    object.__setattr__(served, "cost", (1e-6, 1e-7))
    object.__setattr__(served, "backends", ((Elsewhere(quick),) if at_server else ()) + quick.backends)

    async def ask() -> None:
        cache = Inferences(Settings(model_repo=str(root))).of(served).cache
        assert (cache is not None) is kept

    asyncio.run(ask())


def test_an_erasure_that_cannot_look_up_which_predictions_are_kept_does_not_begin(root: Path) -> None:
    async def ask() -> None:
        with pytest.raises(NotReady):
            await pipeline(root, Unreachable()).forget("employee", "ann", False, None)

    asyncio.run(ask())


class Shared:
    """A Redis for predictions that is told what to drop, and fails at it when `away`."""

    def __init__(self, away: bool = False) -> None:
        self.away, self.dropped, self.listeners = away, [], set()

    async def drop(self, keys: np.ndarray) -> None:
        self.dropped += keys.tolist()
        if self.away:
            raise NotReady("away")


@pytest.mark.parametrize("cache", ["off", "local", "redis", "auto"])
def test_what_is_forgotten_is_forgotten_by_all_gateways_whatever_this_one_keeps(
    cache: str, root: Path, served: ServedModel
) -> None:
    """Each gateway measures for itself what is worth keeping."""
    settings = Settings(model_repo=str(root), cache=cache, cache_redis_url="redis://nowhere", hash_key_file="x")
    shared, key = Shared(), HashKey(bytes(16))

    async def ask() -> None:
        await Inferences(settings, keeping=Keeping(key, shared)).of(served).forget(rows(3))
        assert shared.dropped == Keeping(key).row_keys(served)(rows(3)).tolist()

    asyncio.run(ask())


@pytest.mark.parametrize("at_server", [False, True])
@pytest.mark.parametrize("count", [2, 40])
def test_each_part_of_the_way_is_timed_as_what_it_is(
    at_server: bool, count: int, root: Path, served, monkeypatch
) -> None:
    """An hour passes while rows are prepared, and another while the answer is completed; no stage else takes one."""
    hour, passed = 3600.0, 0.0

    def takes_an_hour(name: str) -> None:
        work = getattr(Pipeline, name)

        def late(self: Pipeline, *arguments: object) -> object:
            nonlocal passed
            passed += hour
            return work(self, *arguments)

        monkeypatch.setattr(Pipeline, name, late)

    monkeypatch.setattr("serving.stages.monotonic", lambda: time.monotonic() + passed)
    takes_an_hour("_prepare")
    takes_an_hour("_finish")
    if at_server:
        object.__setattr__(served, "backends", (Elsewhere(load_version(root / "small" / "1")),))
    watch = Stopwatch()

    async def ask() -> None:
        await pipeline(root, inline_rows=4, cache="off").predict(served, rows(count), watch=watch)
        watch.lap(ENCODE)  # as the protocol's part ends

    asyncio.run(ask())
    hours = dict(zip(NAMES, (int(seconds // hour) for seconds in watch.seconds), strict=True))
    assert hours == dict.fromkeys(NAMES, 0) | {"features": 1, "encode": 1}
    if count <= 4 and not at_server:
        assert watch.seconds[QUEUE] == 0, "what is answered at once does not come through a queue"
