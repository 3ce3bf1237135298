"""Users over time: what each shape plans, and that it ends."""

import pytest

from loadtest.users.shapes import SHAPES, Plan, users_at

pytestmark = pytest.mark.unit

PLAN = Plan(seconds=100, peak=50, floor=10, steps=5)


def over_time(shape, plan=PLAN):
    return [users_at(shape, plan, second) for second in range(int(plan.seconds))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("plan", [PLAN, Plan(3, 1, 1, 2), Plan(60.5, 2000, 1, 100)])
def test_every_shape_stays_between_floor_and_peak_and_ends_by_itself(shape, plan):
    assert all(plan.floor <= users <= plan.peak for users in over_time(shape, plan))
    assert users_at(shape, plan, plan.seconds) is None
    assert users_at(shape, plan, plan.seconds * 2) is None


def test_constant_is_the_peak_all_the_time():
    assert set(over_time("constant")) == {50}


def test_a_ramp_rises_evenly_and_holds_the_peak_for_the_last_fifth():
    users = over_time("ramp")
    assert users[0] == 10
    assert users[40] == 30
    assert users == sorted(users)
    assert set(users[80:]) == {50}


def test_a_spike_is_the_peak_in_the_middle_fifth_and_the_floor_around_it():
    users = over_time("spike")
    assert set(users[:40]) == {10}
    assert set(users[40:60]) == {50}
    assert set(users[60:]) == {10}


def test_a_soak_holds_seven_tenths_of_the_peak():
    users = over_time("soak")
    assert users[0] == 10
    assert set(users[5:]) == {35}


def test_steps_are_equally_long_and_equally_high():
    assert over_time("step") == [users for users in (10, 20, 30, 40, 50) for _ in range(20)]


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"seconds": 0.5}, "--seconds: got 0.5"),
        ({"seconds": 1e6}, "--seconds"),
        ({"peak": 0}, "--peak"),
        ({"peak": 100_000}, "--peak"),
        ({"peak": 3, "floor": 4}, "--floor: got 4, expected 1 to 3"),
        ({"floor": 0}, "--floor"),
        ({"steps": 1}, "--steps"),
        ({"steps": 1000}, "--steps"),
    ],
)
def test_a_plan_out_of_bounds_is_refused_by_the_name_of_its_option(wrong, option):
    with pytest.raises(ValueError, match=option):
        Plan(**wrong)
