"""Stages are timed alone, and what one contains of another is taken off."""

import pytest

from loadtest.protocols.stages import Stage, time_stages

pytestmark = pytest.mark.unit


def burn(times):
    def run(_):
        sum(range(times))

    return run


def test_a_stage_is_its_own_time_without_what_it_contains():
    stages = [Stage("inner", burn(20_000)), Stage("outer", burn(60_000), without=("inner",))]
    times = time_stages(stages, bodies=5, repeats=7)
    assert times["inner"] > 0
    assert times["outer"] / times["inner"] == pytest.approx(2, rel=0.5)


def test_every_body_is_used_once_a_pass_and_the_first_pass_is_extra():
    seen = []
    time_stages([Stage("look", seen.append)], bodies=3, repeats=2)
    assert seen == [0, 1, 2] * 3


def test_a_stage_that_is_only_there_to_be_subtracted_is_not_shown():
    times = time_stages([Stage("_inner", burn(20_000)), Stage("outer", burn(60_000), without=("_inner",))], 5, 7)
    assert list(times) == ["outer"]
