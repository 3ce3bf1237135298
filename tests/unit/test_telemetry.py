"""Counters and histograms in flat arrays say what prometheus_client's own would; stages add up."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest

from serving.stages import BACKEND, DECODE, NAMES, QUEUE, UNTIMED, Stopwatch
from serving.telemetry.flat import Counters, Histograms
from serving.telemetry.metrics import Metrics
from serving.telemetry.requests import BUCKETS, SERVER_ERRORS, SMALL_ROWS, Requests

pytestmark = pytest.mark.unit

METHOD = ("epm", "Predict")
ANSWERING = ("small", 2)
disable_created_metrics()
values = st.one_of(st.sampled_from(BUCKETS), st.floats(0, 20, allow_subnormal=False))


def exposition(collector):
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), values), max_size=60))
def test_a_flat_histogram_reads_as_prometheus_clients_own(observed):
    registry = CollectorRegistry()
    theirs = prometheus_client.Histogram("took_seconds", "Text.", ["who"], buckets=BUCKETS, registry=registry)
    ours = Histograms("took_seconds", "Text.", ["who"], BUCKETS)
    for who, value in observed:
        theirs.labels(who).observe(value)
        ours.observe(ours.row((who,)), value)
    assert exposition(ours) == generate_latest(registry).decode()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40).map(str), st.integers(1, 3)), max_size=80))
def test_a_flat_counter_reads_as_prometheus_clients_own(counted):
    registry = CollectorRegistry()
    theirs = prometheus_client.Counter("calls", "Text.", ["who", "how"], registry=registry)
    ours = Counters("calls", "Text.", ["who", "how"])
    for who, count in counted:
        theirs.labels(who, "well").inc(count)
        ours.add(ours.row((who, "well")), count)
    assert exposition(ours) == generate_latest(registry).decode()


def test_a_row_has_a_value_for_every_label():
    with pytest.raises(ValueError, match="1 labels, expected who, how"):
        Counters("calls", "Text.", ["who", "how"]).row(("a",))


def samples(requests, name):
    return {
        tuple(sorted(one.labels.items())): one.value
        for family in requests.collect()
        for one in family.samples
        if one.name == name
    }


def of(**labels):
    return tuple(sorted(labels.items()))


def test_stages_add_up_to_the_whole():
    requests = Requests()
    watch = requests.begun(METHOD)
    watch.rows = 3
    for stage in (DECODE, QUEUE, BACKEND):
        time.sleep(0.002)
        watch.lap(stage)
    requests.finished(METHOD, ANSWERING, "OK", watch)
    stages = samples(requests, "epm_stage_duration_seconds_sum")
    (whole,) = samples(requests, "epm_request_duration_seconds_sum").values()
    assert sum(stages.values()) == pytest.approx(whole, abs=1e-12)
    assert all(stages[of(stage=name, model="small", version="2")] >= 0.002 for name in ("decode", "queue", "backend"))
    counts = samples(requests, "epm_stage_duration_seconds_count")
    assert counts[of(stage="store", model="small", version="2")] == 0, "what a call did not come through is not counted"
    assert {dict(labels)["stage"] for labels in counts} == set(NAMES)


def test_a_lap_until_a_moment_leaves_the_rest_to_the_next_one():
    watch = Stopwatch()
    moment = watch.began + 5
    watch.lap_until(QUEUE, moment)
    assert watch.seconds[QUEUE] == pytest.approx(5)
    watch.lap_until(BACKEND, moment - 1)
    assert watch.seconds[BACKEND] == 0, "time does not run backwards"


@pytest.mark.parametrize(("rows", "size"), [(0, ""), (1, "small"), (SMALL_ROWS, "small"), (SMALL_ROWS + 1, "large")])
def test_durations_are_told_apart_by_size(rows, size):
    requests = Requests()
    watch = requests.begun(METHOD)
    watch.rows = rows
    requests.finished(METHOD, ANSWERING, "OK", watch)
    ((labels, count),) = samples(requests, "epm_request_duration_seconds_count").items()
    assert dict(labels)["size"] == size
    assert count == 1


def test_what_failed_is_counted_and_not_timed():
    requests = Requests()
    requests.finished(METHOD, None, "NOT_FOUND", requests.begun(METHOD))
    counted = {dict(labels)["status"]: count for labels, count in samples(requests, "epm_requests_total").items()}
    assert counted == {"NOT_FOUND": 1} | dict.fromkeys(SERVER_ERRORS, 0), "errors to come have an increase from 0"
    assert not samples(requests, "epm_request_duration_seconds_count")


def test_what_is_under_way_is_in_flight():
    requests = Requests()
    watches = [requests.begun(METHOD), requests.begun(METHOD)]
    assert samples(requests, "epm_requests_in_flight") == {of(protocol="epm"): 2}
    for watch in watches:
        requests.finished(METHOD, None, "CANCELLED", watch)
    assert samples(requests, "epm_requests_in_flight") == {of(protocol="epm"): 0}


def test_without_metrics_no_call_is_counted_or_timed():
    metrics = Metrics(on=False)
    watch = metrics.begun(METHOD)
    assert watch is UNTIMED
    watch.lap(DECODE)
    metrics.finished(METHOD, ANSWERING, "OK", watch)
    metrics.backends.observer("small", 1)(None, "ok", 1, 0.1)
    metrics.backends.batched("small", 1, 1, 1, 0.1)
    text = asyncio.run(metrics.text()).decode()
    assert "epm_requests_total{" not in text
    assert "epm_backend_calls_total{" not in text
    assert "epm_batch_rows_bucket" not in text
    assert watch.seconds == [0.0] * len(NAMES)


def test_backends_are_counted_from_any_thread():
    backends = Metrics().backends

    class Named:
        name = "forest"

    observe = backends.observer("small", 1)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(lambda: [observe(Named, "ok", 2, 0.5) for _ in range(1000)])
    found = {one.name: one.value for family in backends.collect() for one in family.samples}
    assert found["epm_backend_calls_total"] == 4000
    assert found["epm_backend_rows_total"] == 8000


def test_calls_have_their_turn_while_the_exposition_is_made():
    async def run():
        turns = 0

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        text = await Metrics().text()
        other.cancel()
        return turns, text.count(b"# TYPE")

    turns, families = asyncio.run(run())
    assert turns >= families
