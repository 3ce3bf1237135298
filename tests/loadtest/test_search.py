"""The search finds what a server can do: of a made-up one, and of a real one whose service time is known."""

import itertools
import random

import pytest

from loadtest.h2.client import Load, run
from loadtest.measure import MeasurementError
from loadtest.rates import schedule, search
from loadtest.rates.recorded import Recording
from loadtest.rates.step import Step, Target, put
from tests.loadtest.timed_server import TimedServer


def step(rate, p99_us, bound_us=10_000):
    why = "too slow" if p99_us > bound_us else ""
    return Step(rate, rate, 1000, p99_us / 4, p99_us, p99_us * 2, 1.0, 0, 0, None, why)


def queue(limit, hiccups=0.0, seed=0):
    """Latency of a queue that holds p99 up to `limit` calls/s exactly; sometimes something else is in its way."""
    source = random.Random(seed)
    ceiling = limit * 1.1

    def measure(rate, phase):
        if rate >= ceiling or source.random() < hiccups:
            return step(rate, 1e6)
        return step(rate, 10_000 * (ceiling - limit) / (ceiling - rate))

    return measure


@pytest.mark.unit
@pytest.mark.parametrize("limit", [3.0, 99.0, 100.0, 1234.5, 40_000.0])
def test_the_capacity_of_a_queue_is_found_to_the_precision(limit):
    found = search.highest(queue(limit), 100.0)
    assert limit / 1.03 <= found.rate <= limit
    assert found.confirmed.held
    assert not found.limited
    assert found.trials[-1]["phase"] == "confirm"


@pytest.mark.unit
def test_no_rate_is_believed_that_was_not_confirmed():
    def weaker_when_longer(rate, phase):
        return queue(900 if phase == "confirm" else 1000)(rate, phase)

    found = search.highest(weaker_when_longer, 100.0)
    assert 900 / 1.1 <= found.rate <= 900


@pytest.mark.unit
def test_now_and_then_a_hiccup_changes_little():
    rates = [search.highest(queue(1000, hiccups=0.05, seed=seed), 100.0).rate for seed in range(50)]
    assert sorted(rates)[25] == pytest.approx(1000, rel=0.06)
    assert max(rates) <= 1000


@pytest.mark.unit
def test_a_server_that_holds_all_that_may_be_asked_is_said_to():
    found = search.highest(queue(1e9), 100.0, most=5000.0)
    assert found.limited
    assert found.rate == 5000
    assert max(trial["rate"] for trial in found.trials) == 5000


@pytest.mark.unit
def test_a_server_that_holds_nothing_is_an_error():
    with pytest.raises(MeasurementError, match="not even"):
        search.highest(queue(0.1), 100.0)


@pytest.mark.unit
def test_a_server_that_is_never_confirmed_is_an_error():
    def only_short(rate, phase):
        return step(rate, 1e6 if phase == "confirm" or rate > 500 else 10)

    with pytest.raises(MeasurementError, match="confirmed"):
        search.highest(only_short, 100.0)


@pytest.mark.slow
@pytest.mark.integration
def test_the_capacity_of_a_server_with_a_known_service_time_is_found():
    """What it can do is what a closed loop finds, before and after; a step of a second lets 5/4 of it pass p99."""
    bodies = [number.to_bytes(2) for number in range(1000)]
    with TimedServer(1 / 150) as server:
        target = Target(
            server.address, "", Recording("timed", 1, ["/a.B/C"] * 1000, bodies), p99_ms=250.0, poisson=False
        )
        closed = Load(address=server.address, path="/a.B/C", bodies=bodies, streams=8, calls=150)
        before = run(closed).rate
        seeds = itertools.count()

        def measure(rate, phase):
            return put(target, schedule.constant(rate, 1.0), 0.1, next(seeds))

        found = search.highest(measure, 80.0, precision=0.1)
        slower, faster = sorted((before, run(closed).rate))
        assert 0.6 * slower < found.rate < 1.4 * faster
        over = put(target, schedule.constant(2 * faster, 1.0), 0.1)
        assert not over.held
        assert over.asked == pytest.approx(2 * faster, rel=0.02)
        assert over.answered < over.asked


@pytest.mark.integration
def test_poisson_arrivals_wait_for_each_other_where_even_ones_do_not():
    """The same mean rate, 80 % of the capacity: of M/D/1 and D/D/1 only the first has a queue."""
    bodies = [number.to_bytes(2) for number in range(1000)]
    with TimedServer(0.005) as server:
        recording = Recording("timed", 1, ["/a.B/C"] * 1000, bodies)
        poisson, even = (
            put(Target(server.address, "", recording, p99_ms=1000.0, poisson=poisson), schedule.constant(160, 2.0))
            for poisson in (True, False)
        )
    assert poisson.p99_us > even.p50_us * 2
