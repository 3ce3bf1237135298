"""A hundred thousand entities with two years of months, through the command, a gateway and a Redis."""

from pathlib import Path

import pytest

from loadtest.store import bulk
from loadtest.store.people import write_model
from loadtest.store.places import place
from serving.contract import Contract

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MOST_SECONDS = 60
BASE = Path("model_repo/performance_model/1/contract.json")


def test_a_hundred_thousand_entities_within_a_minute(tmp_path):
    with place(tmp_path / "store") as here:
        write_model(here.models, Contract.load(BASE))
        figures = bulk.measure(here, bulk.FULL)  # checks what was applied, found, kept and evicted
    assert figures["rows"] == 2_400_000
    assert figures["load"]["seconds"] < MOST_SECONDS
    assert (figures["load"]["applied"], figures["again"]["applied"]) == (100_000, 0)
    assert figures["redis_bytes_per_entity"] < 1024
    roomy, tight = figures["roomy"], figures["tight"]
    assert roomy["bytes"] / roomy["entities"] < 1024
    assert tight["entities"] > 10_000
    assert tight["rss_mib"] - tight["rss_before_mib"] < 64  # what is too much makes room, in memory too
