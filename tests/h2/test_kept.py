"""Predictions that are kept are answered in compiled code; what is not kept goes to Python, which keeps it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.h2 import kinds
from tests.h2.asks import PATHS, Question, body, by_python, sent
from tests.h2.inside import Inside, answered_by
from tests.h2.kinds import ready
from tests.support import attrition, histories, models
from tests.support.metrics import total

pytestmark = pytest.mark.integration

MODELS = ("linear", "leaves", "attrition", "grade")
"""Tensors of features alone, of features and a window, of a window alone; and a forest."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kept")
    models.write_version(path, "linear")
    histories.write_version(path)
    attrition.write_version(path)
    kinds.write_forest(path, kinds.contract("grade", models.GRADE))
    return path


@pytest.fixture(scope="module")
def at(root: Path) -> Iterator[Inside]:
    with Inside(root, cache="local", loop_threads=2) as running:
        yield running


@pytest.fixture
def channel(at: Inside) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(at.grpc) as made:
        yield made


def question(model: str, seed: int, rows: int = 70) -> Question:
    columns = kinds.OTHERS[model][1] if model in kinds.OTHERS else models.golden_columns
    return Question(model, kinds.sent(columns(rows, seed)))


def ask(at: Inside, channel: grpc.Channel, asked: bytes, by: str, form: str = "epm") -> Any:
    with answered_by(at, **{by: 1}):
        answer = sent(channel, form, asked)
    assert answer[0] == "OK"
    return answer


def seeds() -> Iterator[int]:
    """No two tests ask for the same rows."""
    seed = 100
    while True:
        seed += 1
        yield seed


SEEDS = seeds()


@pytest.mark.parametrize("form", PATHS)
@pytest.mark.parametrize("model", MODELS)
def test_what_was_asked_before(at: Inside, channel: grpc.Channel, model: str, form: str) -> None:
    asked = question(model, next(SEEDS))
    first = [ask(at, channel, body(form, asked.rows(*some)), "featured", form) for some in ((0, 1), (1, 65))]
    again = [ask(at, channel, body(form, asked.rows(*some)), "compiled", form) for some in ((0, 1), (1, 65))]
    assert again == first
    whole = body(form, asked.rows(0, 66))
    by_itself = ask(at, channel, whole, "compiled", form)
    assert by_itself == at.run(by_python(at.gateway.pipeline, form, whole))
    mixed = body(form, asked.rows(60, 10))
    assert ask(at, channel, mixed, "featured", form) == ask(at, channel, mixed, "compiled", form)


@pytest.mark.parametrize("model", MODELS)
def test_ready_tensors_are_the_same_rows(at: Inside, channel: grpc.Channel, model: str) -> None:
    asked = question(model, next(SEEDS), 5)
    ask(at, channel, body("epm", asked), "featured")
    made = kinds.OTHERS[model][0] if model in kinds.OTHERS else kinds.contract("grade", models.GRADE)
    tensors = ready(kinds.Made(model, "", models.golden_columns, made), dict(asked.inputs))
    ask(at, channel, body("epm", Question(model, tensors)), "compiled")


def test_what_was_dropped_is_asked_again(at: Inside, channel: grpc.Channel) -> None:
    asked = body("epm", question("leaves", next(SEEDS), 3))
    first = ask(at, channel, asked, "featured")
    assert ask(at, channel, asked, "compiled") == first
    for drop in (at.gateway.pipeline.inferences.forget_everything, lambda: forget_rows(at, asked)):
        at.run(drop())
        assert ask(at, channel, asked, "featured") == first
        assert ask(at, channel, asked, "compiled") == first


async def forget_rows(at: Inside, asked: bytes) -> None:
    """One key of those that are kept."""
    (cache,) = [
        cache
        for name, _, cache in at.gateway.pipeline.inferences.caches(at.gateway.pipeline.served())
        if name == "leaves"
    ]
    slots, _ = cache.table.arrays
    kept = slots[slots[:, 2] > 0]
    cache.table.drop(np.ascontiguousarray(kept[:, :2]).view(np.uint64))


def test_another_version_knows_nothing_of_what_the_first_one_said(tmp_path: Path) -> None:
    models.write_version(tmp_path, "linear")
    with Inside(tmp_path, cache="local") as at, grpc.insecure_channel(at.grpc) as channel:
        asked = body("epm", Question("linear", kinds.sent(models.golden_columns(4, 1))))
        first = ask(at, channel, asked, "featured")
        ask(at, channel, asked, "compiled")
        models.write_version(tmp_path, "linear", 2, seed=2)
        at.scan()
        second = ask(at, channel, asked, "featured")
        assert second != first
        assert ask(at, channel, asked, "compiled") == second


def test_nothing_is_answered_beyond_its_time(tmp_path: Path) -> None:
    models.write_version(tmp_path, "linear")
    with Inside(tmp_path, cache="local", cache_ttl_seconds=1.0) as at, grpc.insecure_channel(at.grpc) as channel:
        asked = body("epm", Question("linear", kinds.sent(models.golden_columns(4, 1))))
        begun = time.monotonic()
        ask(at, channel, asked, "featured")
        kept_until = time.monotonic() + 1.0
        sent(channel, "epm", asked)
        while time.monotonic() < kept_until:
            time.sleep(0.05)
        ask(at, channel, asked, "featured")
        assert time.monotonic() > begun + 1.0


def test_rows_that_were_kept_are_counted(at: Inside, channel: grpc.Channel) -> None:
    asked = body("epm", question("attrition", next(SEEDS), 7))

    def seen() -> list[float]:
        samples = at.samples()
        return [
            total(samples, "epm_cache_rows_total", model="attrition", **{"from": "table"}),
            total(samples, "epm_cache_rows_total", model="attrition", **{"from": "missed"}),
            total(samples, "epm_backend_rows_total", model="attrition"),
            total(samples, "epm_requests_total", model="attrition", status="OK"),
        ]

    before = seen()
    ask(at, channel, asked, "featured")
    for _ in range(3):
        ask(at, channel, asked, "compiled")
    assert [new - old for new, old in zip(seen(), before, strict=True)] == [21, 7, 7, 4]
