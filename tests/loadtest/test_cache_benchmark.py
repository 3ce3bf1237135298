"""The benchmark of the prediction cache: it measures what it says, and notices a cache that answers otherwise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest.answers import WrongAnswerError
from loadtest.backends import cache
from loadtest.published import newest_version
from tests.support.predictions import known

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2] / "model_repo"


def test_it_tells_all_figures_of_all_models() -> None:
    figures = cache.measure(REPOSITORY, calls=8)
    assert set(figures["models"]) == set(cache.MODELS)
    for model in figures["models"].values():
        assert model["table_bytes"] == model["table_bound"]
        assert min(model["hit_ns"], model["miss_ns"], model["repeated"]["ratio"]) > 0
        assert model["repeated"]["farthest"] <= 1e-5
    shown = cache.table(figures)
    assert all(name in shown for name in cache.MODELS)


@pytest.fixture(scope="module")
def measured() -> cache.Measured:
    return cache.Measured(newest_version(REPOSITORY / cache.MODELS[0]), seed=3)


def test_the_share_of_repeated_rows_is_what_is_asked_for_and_all_others_are_new(measured: cache.Measured) -> None:
    calls = measured.rows.calls(measured.pool, 0.9)
    hits = [known(measured.cache, next(calls)).hits.mean() for _ in range(50)]
    assert 0.87 < np.mean(hits) < 0.93
    assert not known(measured.cache, measured.rows.draw(500)).hits.any()


def test_a_cache_that_answers_otherwise_is_noticed(measured: cache.Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    run = measured.cache.run

    def wrong(*arguments: Any) -> Any:
        answers = dict(run(*arguments))
        answers["probabilities"] = answers["probabilities"] + np.float32(0.001)
        return answers

    monkeypatch.setattr(measured.cache, "run", wrong)
    with pytest.raises(WrongAnswerError, match="answers otherwise"):
        measured.beside_the_model(0.9, 4)
