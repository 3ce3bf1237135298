"""What is read of a listener's counters, what is said of them, h2load's own words, and verdicts."""

import pytest

from loadtest.listener import counters, h2load
from loadtest.listener.soak import verdicts as soaked
from loadtest.listener.verdicts import Verdict
from loadtest.measure import MeasurementError

pytestmark = pytest.mark.unit
TEXT = """\
# TYPE epm_h2_messages_total counter
epm_h2_messages_total{by="compiled"} 7.0
epm_h2_messages_total{by="python"} 2.0
epm_h2_calls_open 1.0
epm_requests_total{status="OK"} 9.0
"""


def test_counters_are_read_by_name_and_labels():
    samples = counters.parsed(TEXT)
    assert counters.by({}, samples, "epm_h2_messages_total", "by") == {"compiled": 7, "python": 2}
    earlier = counters.parsed(TEXT.replace("7.0", "3.0"))
    assert counters.by(earlier, samples, "epm_h2_messages_total", "by") == {"compiled": 4, "python": 0}
    assert counters.total(samples, "epm_h2_messages_total", by="python") == 2
    assert counters.total(samples, "epm_h2_calls_open") == 1


def test_h2load_is_believed_only_where_all_was_answered():
    said = "finished in 2.01s, 28092.50 req/s, 1.11MB/s\nrequests: 9 total, 9 started, 9 done, {}"
    assert h2load.parsed(said.format("9 succeeded, 0 failed, 0 errored, 0 timeout")) == 28092.5
    for wrong in ("8 succeeded, 1 failed, 0 errored", "0 succeeded, 0 failed, 0 errored"):
        with pytest.raises(MeasurementError):
            h2load.parsed(said.format(wrong))
    with pytest.raises(MeasurementError):
        h2load.parsed("")


@pytest.mark.parametrize(("at_least", "holds"), [(True, False), (False, True)])
def test_a_verdict_is_of_the_median(at_least, holds):
    verdict = Verdict("says", "", [1.0, 2.0, 30.0], 2.5, at_least)
    assert verdict.middle == 2.0
    assert verdict.holds is holds
    assert verdict.range[0] <= 2.0 <= verdict.range[1]


def figures(**changed):
    told = {
        "connections": {"accepted": 10, "closed": 11},
        "streams": {"opened": 50, "closed": 50},
        "left_before": 1,
        "left_connections": 0,
        "left_calls": 0,
        "left_message_bytes": 0,
    }
    made = {
        "well": {"calls": 1000, "answered": 998, "refused": 2},
        "counters": told,
        "filled": {"message_bytes": 0, "answered": 50, "calls": 50},
        "samples": [(0.0, 1000.0, 20), (60.0, 1000.0, 20)],
        "memory_slope": {"low": -1.0, "per_minute": 1.0},
    }
    for path, value in changed.items():
        first, _, second = path.partition("__")
        if second:
            made[first][second] = value
        else:
            made[first] = value
    return made


def failed(made):
    return [verdict["says"] for verdict in soaked(made) if not verdict["holds"]]


def test_what_adds_up_passes():
    assert failed(figures()) == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"well__answered": 997}, "every call"),
        ({"well__answered": 900, "well__refused": 100}, "were refused"),
        ({"counters__left_connections": 1}, "connections accepted"),
        ({"counters__streams": {"opened": 50, "closed": 49}}, "streams opened"),
        ({"counters__left_calls": 1}, "no connection, call"),
        ({"counters__left_message_bytes": 40 << 20}, "kept for messages"),
        ({"filled__answered": 0}, "filled and left"),
        ({"samples": [(0.0, 1000.0, 20), (60.0, 1000.0, 25)]}, "descriptors"),
        ({"memory_slope": {"low": 300.0, "per_minute": 400.0}}, "memory"),
    ],
)
def test_what_does_not_add_up_fails(changed, what):
    assert any(what in says for says in failed(figures(**changed)))
