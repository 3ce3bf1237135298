"""A breaker closes by a proof and by nothing else; time is what the test says."""

import itertools
import random

import pytest

from serving.backends.remote.breaker import (
    AGAIN_SECONDS,
    FAILURES,
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    SUSPECT_SECONDS,
    UNREACHED_PAUSE,
    Breaker,
    State,
)

pytestmark = pytest.mark.unit


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Breaker, Clock]:
    """A fresh breaker whose jitter always draws the greater number."""
    clock = Clock()
    return Breaker(clock, lambda low, high: high), clock


def closed() -> tuple[Breaker, Clock]:
    breaker, clock = made()
    breaker.proven(breaker.begin_proof())
    return breaker, clock


def test_a_fresh_one_lets_only_its_first_proof_through() -> None:
    breaker, _ = made()
    assert (breaker.state, breaker.fresh, breaker.due) == (State.HALF_OPEN, True, True)
    ticket = breaker.begin_proof()
    assert (breaker.state, breaker.due) == (State.HALF_OPEN, False)
    breaker.proven(ticket)
    assert (breaker.state, breaker.fresh, breaker.reason) == (State.CLOSED, False, "")


def test_a_first_proof_that_fails_opens_it() -> None:
    breaker, clock = made()
    breaker.disproved(breaker.begin_proof(), "another model")
    assert (breaker.state, breaker.fresh, breaker.reason) == (State.OPEN, False, "another model")
    assert not breaker.due
    clock.now += SHORTEST_PAUSE
    assert breaker.due


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker, _ = closed()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed(breaker.ticket, "no answer")
        breaker.succeeded(breaker.ticket)
    assert breaker.state is State.CLOSED
    for _ in range(FAILURES):
        breaker.failed(breaker.ticket, "no answer")
    assert (breaker.state, breaker.reason) == (State.OPEN, "no answer")


def test_one_wrong_answer_opens_it_at_once() -> None:
    breaker, _ = closed()
    breaker.wrong(breaker.ticket, "a wrong shape")
    assert (breaker.state, breaker.reason) == (State.OPEN, "a wrong shape")


def test_pauses_double_up_to_the_longest_and_one_proof_ends_each() -> None:
    breaker, clock = made()
    pauses = []
    for _ in range(8):
        breaker.disproved(breaker.begin_proof(), "no answer")
        begin = clock.now
        while not breaker.due:
            clock.now += SHORTEST_PAUSE / 2
        pauses.append(clock.now - begin)
    doubled = [min(SHORTEST_PAUSE * 2**power, LONGEST_PAUSE) for power in range(8)]
    assert pauses == doubled
    assert breaker.begin_proof() == breaker.ticket
    assert breaker.state is State.HALF_OPEN
    assert not breaker.due


def test_where_no_server_was_reached_the_pause_stays_short() -> None:
    breaker, clock = made()
    for _ in range(8):
        breaker.disproved(breaker.begin_proof(), "refused", UNREACHED_PAUSE)
        assert not breaker.due
        clock.now += UNREACHED_PAUSE
        assert breaker.due


def test_the_jitter_shortens_pauses_by_half_at_most() -> None:
    for seed in range(50):
        clock, generator = Clock(), random.Random(seed)
        breaker = Breaker(clock, generator.uniform)
        breaker.disproved(breaker.begin_proof(), "no answer")
        assert not breaker.due
        clock.now += SHORTEST_PAUSE / 2 - 1e-6
        assert not breaker.due
        clock.now += SHORTEST_PAUSE / 2 + 2e-6
        assert breaker.due


def test_the_pause_starts_small_again_only_after_a_call_or_a_repeated_proof_went_well() -> None:
    def pause_after(breaker: Breaker, clock: Clock) -> float:
        begin = clock.now
        while not breaker.due:
            clock.now += SHORTEST_PAUSE / 2
        return clock.now - begin

    breaker, clock = closed()
    for expected in (1, 2, 4):  # proofs go well, and every call is answered wrongly
        breaker.wrong(breaker.ticket, "wrong")
        assert pause_after(breaker, clock) == expected * SHORTEST_PAUSE
        breaker.proven(breaker.begin_proof())
    breaker.succeeded(breaker.ticket)
    breaker.wrong(breaker.ticket, "wrong")
    assert pause_after(breaker, clock) == SHORTEST_PAUSE
    breaker.proven(breaker.begin_proof())
    breaker.proven(breaker.begin_proof())
    breaker.wrong(breaker.ticket, "wrong")
    assert pause_after(breaker, clock) == SHORTEST_PAUSE


def test_one_that_is_asked_is_proven_again_and_left_at_once_when_that_fails() -> None:
    breaker, clock = closed()
    clock.now += AGAIN_SECONDS
    assert not breaker.due
    clock.now += 0.2 * AGAIN_SECONDS
    assert breaker.due
    ticket = breaker.begin_proof()
    assert breaker.state is State.CLOSED
    breaker.disproved(ticket, "another artifact")
    assert breaker.state is State.OPEN


def test_what_began_before_the_last_change_counts_for_nothing() -> None:
    breaker, clock = closed()
    before, proof = breaker.ticket, breaker.begin_proof()
    breaker.wrong(before, "wrong")
    breaker.proven(proof)  # it began while nothing was wrong yet
    assert breaker.state is State.OPEN
    clock.now += LONGEST_PAUSE
    breaker.succeeded(before)
    assert breaker.state is State.OPEN
    breaker.proven(breaker.begin_proof())
    for _ in range(FAILURES):
        breaker.failed(before, "no answer")
    breaker.wrong(before, "wrong")
    breaker.suspect(before)
    assert (breaker.state, breaker.due) == (State.CLOSED, False)


def test_a_suspicion_brings_the_proof_forward_but_not_one_after_the_other() -> None:
    breaker, clock = closed()
    breaker.suspect(breaker.ticket)
    assert not breaker.due
    clock.now += SUSPECT_SECONDS
    assert breaker.due
    breaker.proven(breaker.begin_proof())
    clock.now += 2 * SUSPECT_SECONDS
    assert not breaker.due
    breaker.suspect(breaker.ticket)
    assert breaker.due


def test_a_proof_that_shows_nothing_leaves_it_closed() -> None:
    breaker, clock = closed()
    clock.now += 2 * AGAIN_SECONDS
    breaker.begin_proof()
    breaker.unsettled()
    assert (breaker.state, breaker.due) == (State.CLOSED, False)


def test_whatever_happens_only_a_proof_closes_it() -> None:
    """All orders of five events out of six kinds: it is closed only after `proven`, with nothing against it since."""
    kinds = ("proven", "disproved", "succeeded", "failed", "wrong", "suspect")
    for events in itertools.product(kinds, repeat=5):
        breaker, clock = made()
        believed, failures = False, 0
        for kind in events:
            clock.now += 2 * LONGEST_PAUSE
            match kind:
                case "proven":
                    failures = failures if believed else 0
                    breaker.proven(breaker.begin_proof())
                    believed = True
                case "disproved":
                    breaker.disproved(breaker.begin_proof(), kind)
                    believed = False
                case "succeeded" | "suspect":
                    getattr(breaker, kind)(breaker.ticket)
                    failures = 0 if kind == "succeeded" else failures
                case _:
                    getattr(breaker, kind)(breaker.ticket, kind)
                    failures += believed and kind == "failed"
                    believed = believed and kind == "failed" and failures < FAILURES
            assert (breaker.state is State.CLOSED) == believed
            assert bool(breaker.reason) == (not believed)


def test_a_lost_connection_makes_it_as_good_as_fresh_and_what_was_begun_before_counts_for_nothing() -> None:
    breaker, _ = closed()
    call = breaker.ticket
    breaker.lost()
    assert (breaker.state, breaker.fresh, breaker.due) == (State.HALF_OPEN, True, True)
    for _ in range(FAILURES):
        breaker.failed(call, "the connection is lost")
    breaker.succeeded(call)
    assert (breaker.state, breaker.fresh) == (State.HALF_OPEN, True)
    breaker.proven(breaker.begin_proof())
    assert (breaker.state, breaker.fresh, breaker.due) == (State.CLOSED, False, False)


@pytest.mark.parametrize("right", [True, False])
def test_a_proof_over_the_lost_connection_shows_nothing_and_the_next_is_due_at_once(right: bool) -> None:
    breaker, clock = closed()
    clock.now += 2 * AGAIN_SECONDS
    ticket = breaker.begin_proof()
    breaker.lost()
    assert not breaker.due
    breaker.proven(ticket) if right else breaker.disproved(ticket, "another model")
    assert (breaker.state, breaker.fresh, breaker.due) == (State.HALF_OPEN, True, True)
    breaker.disproved(breaker.begin_proof(), "no connection")
    assert (breaker.state, breaker.fresh, breaker.reason) == (State.OPEN, False, "no connection")


def test_losing_connections_tells_an_open_one_nothing() -> None:
    breaker, clock = made()
    breaker.disproved(breaker.begin_proof(), "another model")
    breaker.lost()
    assert (breaker.state, breaker.reason, breaker.due) == (State.OPEN, "another model", False)
    clock.now += SHORTEST_PAUSE
    ticket = breaker.begin_proof()
    breaker.lost()
    breaker.proven(ticket)
    assert breaker.state is State.CLOSED
