"""Whether a row is looked up, and where: as told, or as measured. All times are made up."""

import pytest

from serving.cache.policy import Auto, Choice, Cost, Policy, choice

pytestmark = pytest.mark.unit

MICRO = 1e-6


def measured(model: tuple[float, float], look_up: float = 0.3, round_trip: float = 150.0, redis: bool = True) -> Auto:
    """An Auto that has seen some calls. model: microseconds a call and a row; look_up: a row; round_trip: a call."""
    auto = Auto(redis)
    for rows in (1, 4, 16, 64, 2, 8):
        auto.looked_up(rows, (5 + look_up * rows) * MICRO)
        auto.computed(rows, (model[0] + model[1] * rows) * MICRO)
        auto.asked(rows, (round_trip + rows) * MICRO)
    return auto


def share(auto: Auto, question: str, rows: int, calls: int = 1000) -> float:
    """How often it says yes."""
    return sum(getattr(auto, question)(rows) for _ in range(calls)) / calls


@pytest.mark.parametrize(
    ("policy", "redis", "local", "asks"),
    [
        (Policy.OFF, True, False, False),
        (Policy.LOCAL, True, True, False),
        (Policy.REDIS, True, True, True),
        (Policy.REDIS, False, True, False),
    ],
)
def test_what_the_settings_say_is_done(policy: Policy, redis: bool, local: bool, asks: bool) -> None:
    made = choice(policy, redis)
    assert type(made) is Choice
    made.computed(1, 1e-9)
    made.asked(1, 10.0)
    assert {(made.use_local(64), made.ask_redis(64)) for _ in range(200)} == {(local, asks)}


def test_auto_tries_what_was_never_measured() -> None:
    auto = choice(Policy.AUTO, redis=True)
    assert isinstance(auto, Auto)
    assert auto.use_local(64)
    assert auto.ask_redis(64)
    assert not choice(Policy.AUTO, redis=False).ask_redis(64)


@pytest.mark.parametrize(("model", "local"), [((10, 25.0), 0.99), ((6, 0.5), 0.01), ((200, 0.1), 0.99)])
def test_auto_looks_up_where_a_row_costs_several_look_ups_and_tries_the_other_now_and_then(
    model: tuple[float, float], local: float
) -> None:
    assert share(measured(model), "use_local", 64) == pytest.approx(local)


@pytest.mark.parametrize(("rows", "asks"), [(1, 0.01), (64, 0.99)])
def test_auto_asks_redis_where_these_rows_cost_more_than_the_round_trip(rows: int, asks: float) -> None:
    assert share(measured((50, 25.0)), "ask_redis", rows) == pytest.approx(asks)


def test_auto_without_redis_never_asks() -> None:
    assert share(measured((50_000, 25.0), redis=False), "ask_redis", 64) == 0


def test_auto_notices_that_the_model_and_redis_have_changed() -> None:
    auto = measured((50, 25.0))
    for _ in range(200):
        auto.asked(64, 0.02)
    assert share(auto, "ask_redis", 64) < 0.05
    for _ in range(400):
        auto.computed(64, 0.1)
    assert share(auto, "ask_redis", 64) > 0.95


def test_one_hiccup_changes_nothing() -> None:
    auto = measured((6, 0.5))
    for _ in range(50):
        auto.computed(64, 38 * MICRO)
    auto.computed(64, 3.0)
    assert share(auto, "use_local", 64) == pytest.approx(0.01)


def test_a_slow_first_call_is_forgotten_with_the_next_one() -> None:
    cost = Cost()
    for seconds in (0.1, 50 * MICRO, 60 * MICRO):
        cost.observe(1, seconds)
    assert cost.expected(1) == pytest.approx(55 * MICRO, rel=0.05)


def test_a_cost_is_told_apart_into_calls_and_rows() -> None:
    cost = Cost()
    assert cost.expected(1) is None
    for rows in (1, 64, 7, 30, 1, 64):
        cost.observe(rows, 100 * MICRO + rows * 3 * MICRO)
    for rows in (1, 64, 1000):
        assert cost.expected(rows) == pytest.approx((100 + 3 * rows) * MICRO)


def test_a_cost_that_was_measured_with_one_size_goes_by_rows() -> None:
    cost = Cost()
    for _ in range(9):
        cost.observe(64, 64 * MICRO)
    assert cost.expected(10) == pytest.approx(10 * MICRO)


@pytest.mark.parametrize("seconds", [lambda rows: 1 / rows, lambda rows: rows**3.0])
def test_no_part_of_a_cost_is_negative(seconds: object) -> None:
    cost = Cost()
    for rows in (1, 2, 4, 8, 16):
        cost.observe(rows, seconds(rows))
    assert 0 <= cost.expected(1) <= cost.expected(100)


def test_look_ups_are_measured_now_and_then_only() -> None:
    """Once there are some: measuring costs about as much as looking up a row."""
    auto, taken = Auto(False), []
    auto._look_up.observe = lambda rows, seconds: taken.append(rows)  # type: ignore[method-assign]
    for _ in range(32 + 160):
        auto.looked_up(1, MICRO)
    assert len(taken) == 32 + 10


def test_many_more_rows_than_were_ever_looked_up_are_tried_and_learned_from() -> None:
    """A row alone costs more to look up and to keep than to compute; of 64 rows each costs a twentieth."""

    def ask(rows: int) -> bool:
        used = auto.use_local(rows)
        auto.computed(rows, (50 + 20 * rows) * MICRO)
        if used:
            auto.looked_up(rows, (50 + rows) * MICRO)
        return used

    auto = Auto(False)
    assert sum(ask(1) for _ in range(1000)) < 100
    assert sum(ask(64) for _ in range(1000)) > 950
    assert sum(ask(1) for _ in range(1000)) < 100
    assert sum(ask(64) for _ in range(1000)) > 950
