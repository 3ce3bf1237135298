"""How long a backend is waited for while another one could answer."""

import pytest

from serving.backends.patience import LEAST_SECONDS, TIMES, Patience

pytestmark = pytest.mark.unit


def test_at_first_it_is_half_of_what_is_left() -> None:
    patience = Patience()
    patience.in_vain(5)
    assert patience.until(None, 100) is None
    assert patience.until(108, 100) == 104


def test_then_it_is_not_much_more_than_usual() -> None:
    patience = Patience()
    for _ in range(100):
        patience.answered(0.2)
    assert patience.until(None, 100) == pytest.approx(100 + TIMES * 0.2)
    assert patience.until(101, 100) == 100.5
    assert patience.until(1000, 100) == pytest.approx(100 + TIMES * 0.2)


def test_it_is_never_less_than_an_accident_may_take() -> None:
    patience = Patience()
    patience.answered(0.0001)
    assert patience.until(None, 100) == pytest.approx(100 + LEAST_SECONDS)


def test_a_slow_answer_is_learned_from_at_once_and_quick_ones_bit_by_bit() -> None:
    patience = Patience()
    patience.answered(0.02)
    patience.answered(0.5)
    assert patience.until(None, 0) == pytest.approx(TIMES * 0.5)
    for _ in range(100):
        patience.answered(0.02)
    assert patience.until(None, 0) == pytest.approx(TIMES * 0.02, rel=0.05)


def test_one_that_has_become_slower_is_given_more_time_until_it_answers() -> None:
    patience = Patience()
    patience.answered(0.001)
    waited = []
    while not waited or waited[-1] < 3:
        waited.append(patience.until(None, 0))
        patience.in_vain(waited[-1])
    assert waited == sorted(waited)
    assert len(waited) < 20


def test_what_a_hasty_caller_could_not_wait_for_says_nothing() -> None:
    patience = Patience()
    patience.answered(0.1)
    patience.in_vain(0.01)
    assert patience.until(None, 0) == pytest.approx(TIMES * 0.1)
