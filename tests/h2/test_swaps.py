"""Versions come and go under load: every answer is of a version that was served, and nothing of the others stays."""

import itertools
import random
import shutil
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from serving.listeners.h2 import loop_state_kernels as at_
from serving.listeners.h2.counted import Counted
from serving.listeners.h2.models import Models
from serving.pipeline import Pipeline
from serving.repository.repository import ModelState, Repository
from serving.repository.served import ServedModel
from serving.repository.versions import load_version
from serving.settings import Settings
from serving.telemetry.metrics import Metrics
from tests.h2 import kinds
from tests.h2.asks import PATHS, Question, body, by_python, sent
from tests.h2.inside import SECONDS, Inside, answered_by
from tests.h2.waiting import made_to_wait, serve
from tests.support import models
from tests.support.metrics import total
from tests.unit.test_inference import without_collector

pytestmark = pytest.mark.integration

SWAPS, CLIENTS = 300, 4
SEEDS = (1, 2, 3)
MOST_GROWTH = 48 << 20
"""Bytes of memory by which so many swaps may let the process grow; each lays out more than a megabyte."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("swapped")
    for seed in SEEDS:
        kinds.write_forest(path, kinds.contract("grade", models.GRADE), version=seed, seed=seed)
        models.write_version(path, "linear", seed, seed=seed)
    kinds.write_forest(path, kinds.contract("stars", kinds.MANY))
    return path


@pytest.fixture(scope="module")
def loaded(root: Path) -> dict[str, list[ServedModel]]:
    """Artifacts by model."""
    return {
        name: [load_version(root / name / str(seed)) for seed in SEEDS if (root / name / str(seed)).is_dir()]
        for name in ("grade", "linear", "stars")
    }


@pytest.fixture(scope="module")
def at(root: Path) -> Iterator[Inside]:
    with Inside(root, loop_threads=2, cache="off") as running:
        yield running


def questions() -> list[tuple[str, bytes]]:
    """Forms and requests: by default, by version, by label, of both kinds of models, of one that is often not there."""
    columns = kinds.sent(models.golden_columns(3, 1))
    asked = [
        ("kserve_raw", Question("grade", columns)),
        ("kserve", Question("grade", columns, version=2)),
        ("tf_serving", Question("grade", columns, label="stable")),
        ("epm", Question("grade", columns)),
        ("epm", Question("linear", columns)),
        ("tf_serving", Question("linear", columns, version=2)),
        ("epm", Question("stars", kinds.sent(models.golden_columns(200, 2)))),
    ]
    return [(form, body(form, question)) for form, question in asked]


def state(name: str, served: dict[int, ServedModel], labels: dict[str, int] | None = None) -> ModelState:
    """Versions by number, each the artifact that it is given."""
    fresh = {number: replace(artifact, version=number) for number, artifact in served.items()}
    return ModelState(name, fresh, {}, labels or {})


def some_states(loaded: dict[str, list[ServedModel]], draw: random.Random) -> list[ModelState]:
    """Versions of `grade` and `linear`, any artifact under each; `stars`, which needs much memory, or not."""
    made = []
    for name in ("grade", "linear"):
        numbers = draw.sample((1, 2, 3), draw.randint(1, 3))
        served = {number: draw.choice(loaded[name]) for number in numbers}
        made.append(state(name, served, {"stable": draw.choice((1, 2, 3))}))
    if draw.random() < 0.5:
        made.append(state("stars", {1: loaded["stars"][0]}))
    return made


class Timeline:
    """What the right answers were, and when. answers[k] are right from begun[k] to ended[k]."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.answers: list[list[Any]] = []

    def right(self, number: int, since: float, until: float) -> list[Any]:
        """Answers to a question that were right at some moment."""
        ended = self.ended.copy() + [float("inf")] * 2
        return [
            answers[number]
            for begun, end, answers in zip(self.begun.copy(), ended, self.answers, strict=False)
            if begun <= until and end >= since
        ]


def all_have_seen(at: Inside) -> None:
    """Wait until the loops are where the listener is."""
    until = time.monotonic() + SECONDS
    while min(loop.seen for loop in at.listener._loops) < at.listener._models.shared[at_.SHARED_EPOCH]:
        assert time.monotonic() < until
        time.sleep(0.001)


def memory() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Watched:
    """Tables, flat versions and versions, as they come; which of them are still there."""

    def __init__(self) -> None:
        self._all: list[weakref.ref[Any]] = []

    def add(self, at: Inside) -> None:
        table = at.listener._models._table
        self._all += [weakref.ref(table), *map(weakref.ref, table.flats), *(weakref.ref(f.served) for f in table.flats)]

    def left(self) -> Counter[str]:
        there = {id(one): one for one in (watched() for watched in self._all) if one is not None}
        return Counter(type(one).__name__ for one in there.values())


def test_hundreds_of_swaps_under_load(at: Inside, loaded: dict[str, list[ServedModel]]) -> None:
    draw, timeline, asked, watched = random.Random(7), Timeline(), questions(), Watched()
    wrong: list[tuple[int, Any]] = []
    over = threading.Event()
    reference = Pipeline(Repository(at.gateway.repository.root), at.settings)
    reference.repository._scanned = True

    async def right_answers() -> list[Any]:
        return [await by_python(reference, form, request) for form, request in asked]

    def turn(*states: ModelState) -> None:
        reference.repository._models = {one.name: one for one in states}
        timeline.answers.append(at.run(right_answers()))
        timeline.begun.append(time.monotonic())
        serve(at, *states)
        all_have_seen(at)
        if len(timeline.answers) > 1:
            timeline.ended.append(time.monotonic())
        watched.add(at)

    def client(number: int) -> Counter[str]:
        counted: Counter[str] = Counter()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(at.grpc, options=options) as channel:
            for question in itertools.cycle(range(len(asked))):
                if over.is_set():
                    return counted
                since = time.monotonic()
                answer = sent(channel, *asked[question])
                counted[answer[0]] += 1
                if answer not in timeline.right(question, since, time.monotonic()):
                    wrong.append((question, answer))
        raise AssertionError

    with without_collector(), ThreadPoolExecutor(CLIENTS) as pool:
        turn(*some_states(loaded, draw))
        before = at.samples()
        clients = [pool.submit(client, number) for number in range(CLIENTS)]
        try:
            for number in range(SWAPS):
                turn(*some_states(loaded, draw))
                if number == SWAPS // 3:
                    grown_from = memory()
        finally:
            over.set()
        outcomes: Counter[str] = sum((one.result() for one in clients), Counter())
        grown = memory() - grown_from
        turn(state("grade", {1: loaded["grade"][0]}))
        after = at.samples()
        left = watched.left()
    at.run(closed(reference))
    assert wrong == []
    assert outcomes.keys() <= {"OK", "NOT_FOUND"}
    assert outcomes["OK"] > SWAPS
    assert left == {"Table": 1, "Flat": 1, "ServedModel": 1}
    assert grown < MOST_GROWTH
    name = "epm_requests_total"
    counted = {status: total(after, name, status=status) - total(before, name, status=status) for status in outcomes}
    assert counted == dict(outcomes)


async def closed(pipeline: Pipeline) -> None:
    pipeline.close()


def test_what_is_found_on_disk_is_swapped_in(tmp_path: Path) -> None:
    """New versions, another artifact under the same number, moved labels, models that come and go."""
    grade = kinds.contract("grade", models.GRADE)
    kinds.write_forest(tmp_path, grade, version=1, seed=1)
    kinds.write_forest(tmp_path, grade, version=2, seed=2)
    label = tmp_path / "grade" / "labels.json"
    label.write_text('{"stable": 1}')
    columns = kinds.sent(models.golden_columns(4, 1))
    newest, stable = Question("grade", columns), Question("grade", columns, label="stable")
    large = Question("everything", kinds.sent(kinds.by_days(256, 1)))
    with Inside(tmp_path, loop_threads=2) as at, grpc.insecure_channel(at.grpc) as channel:

        def ask(question: Question, by: str = "compiled") -> Any:
            request = body("epm", question)
            with answered_by(at, **{by: 1}):
                answer = sent(channel, "epm", request)
            assert answer == at.run(by_python(at.gateway.pipeline, "epm", request))
            return answer

        first, of_one = ask(newest), ask(stable)
        at.scan()
        assert (ask(newest), ask(stable)) == (first, of_one)
        kinds.write_forest(tmp_path, grade, version=3, seed=3)
        label.write_text('{"stable": 2}')
        at.scan()
        all_have_seen(at)
        assert ask(newest) != first
        assert ask(stable) == first
        ask(replace(newest, version=1), "python")
        shutil.rmtree(tmp_path / "grade" / "3")
        kinds.write_forest(tmp_path, grade, version=3, seed=4)
        kinds.write_forest(tmp_path, kinds.of_everything(), kinds.by_days)
        before = ask(newest)
        ask(large, "python")
        at.scan()
        all_have_seen(at)
        assert ask(newest) != before
        assert ask(large)[0] == "OK"
        shutil.rmtree(tmp_path / "everything")
        at.scan()
        all_have_seen(at)
        assert ask(large, "python")[0] == "NOT_FOUND"


def test_what_is_served_as_before_is_not_laid_out_again(at: Inside) -> None:
    at.scan()
    table = at.listener._models._table
    for _ in range(3):
        at.scan()
    assert at.listener._models._table is table


@pytest.mark.parametrize("successor", ["another version", "nothing"])
def test_a_call_under_way_when_its_version_goes_is_answered_by_python(
    at: Inside, loaded: dict[str, list[ServedModel]], successor: str
) -> None:
    slow, backend = made_to_wait(loaded["linear"][0])
    grade = state("grade", {1: loaded["grade"][0]})
    serve(at, grade, ModelState("linear", {1: slow}))
    all_have_seen(at)
    request = body("epm", Question("linear", kinds.sent(models.golden_columns(3, 1))))
    with grpc.insecure_channel(at.grpc) as channel, answered_by(at, python=1):
        under_way = channel.unary_unary(PATHS["epm"]).future(request, timeout=SECONDS)
        at.run(backend.asked(1))
        serve(at, grade, *([state("linear", {2: loaded["linear"][1]})] if successor == "another version" else []))
        all_have_seen(at)
        at.run(backend.open())
        if successor == "nothing":
            error: Any = under_way.exception()
            assert error.code() == grpc.StatusCode.NOT_FOUND
        else:
            assert ("OK", under_way.result()) == at.run(by_python(at.gateway.pipeline, "epm", request))


def test_loops_answer_while_nothing_else_in_the_process_does(at: Inside, loaded: dict[str, list[ServedModel]]) -> None:
    """A loader, or a call in Python, may hold up the event loop for as long as it likes."""
    serve(at, state("grade", {1: loaded["grade"][0]}))
    all_have_seen(at)
    request = body("epm", Question("grade", kinds.sent(models.golden_columns(3, 1))))
    expected = at.run(by_python(at.gateway.pipeline, "epm", request))
    let_go, held = threading.Event(), threading.Event()

    async def hold_up() -> bool:
        held.set()
        return let_go.wait(SECONDS)

    with ThreadPoolExecutor(1) as pool, grpc.insecure_channel(at.grpc) as channel:
        holding = pool.submit(at.run, hold_up())
        assert held.wait(SECONDS)
        try:
            assert [sent(channel, "epm", request) for _ in range(50)] == [expected] * 50
        finally:
            let_go.set()
        assert holding.result()


def test_a_table_stays_as_long_as_a_loop_may_read_it(loaded: dict[str, list[ServedModel]], root: Path) -> None:
    """A loop that has not woken up since holds back nobody but what is to be freed."""
    settings = Settings(model_repo=str(root))
    pipeline = Pipeline(Repository(root), settings)
    made = Models(pipeline, 2, Counted(Metrics()))
    awake, asleep = (SimpleNamespace(seen=0, wake=lambda: None) for _ in range(2))
    loops: Any = [awake, asleep]
    tables = []
    with without_collector():
        for number in range(1, 5):
            served = state("grade", {1: loaded["grade"][0]})
            pipeline.repository._models = {"grade": served}
            made.show(loops)
            awake.seen = number
            tables.append(weakref.ref(made._table))
            flat = weakref.ref(made.flats()[-1])
        asleep.seen = 2
        made.tidy(loops)
        assert [table() is not None for table in tables] == [False, True, True, True]
        assert len(made.flats()) == 3
        asleep.seen = 4
        made.tidy(loops)
        assert [table() is not None for table in tables] == [False, False, False, True]
        assert made.flats() == [flat()]
    pipeline.close()
