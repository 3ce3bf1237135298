"""What /metrics says of the compiled listener is what it says of the other one after the same calls."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from prometheus_client.samples import Sample

from serving.listeners.h2 import count_kernels as count
from serving.repository.repository import ModelState
from serving.repository.versions import load_version
from serving.telemetry.requests import BUCKETS, SMALL_ROWS, STAGE_BUCKETS
from tests.h2 import kinds
from tests.h2.asks import PATHS, STREAM, Question, body, sent
from tests.h2.inside import Inside
from tests.h2.waiting import serve
from tests.support import models
from tests.support.metrics import total

pytestmark = pytest.mark.integration

SAME = (
    "epm_requests_total",
    "epm_request_duration_seconds_count",
    "epm_rows_total",
    "epm_input_cells_total",
    "epm_low_coverage_rows_total",
    "epm_backend_rows_total",
)
"""Counters that say nothing of time."""
OF_ONE_CALL = ("epm_backend_calls_total",)
"""The same when calls do not share batches."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("counted")
    kinds.write_forest(path, kinds.of_everything(), kinds.by_days)
    kinds.write_forest(path, kinds.of_missing())
    models.write_version(path, "linear")
    return path


@pytest.fixture(scope="module")
def both(root: Path) -> Iterator[dict[str, Inside]]:
    """Gateways by listener."""
    with contextlib.ExitStack() as stack:
        yield {
            listener: stack.enter_context(Inside(root, listener=listener, loop_threads=2))
            for listener in ("grpc_aio", "h2")
        }


def traffic(at: Inside) -> int:
    """One call after the other, over several connections: right and wrong ones, of all kinds and sizes; how many."""
    asked = 0
    for connection in range(4):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(at.grpc, options=options) as channel:
            for name, columns in (
                ("everything", kinds.by_days(300, connection)),
                ("missing", models.golden_columns(300, connection)),
                ("linear", models.golden_columns(300, connection)),
            ):
                question = Question(name, kinds.sent(columns))
                some = {name: question.inputs[name] for name in ("hours", "department")}
                questions = [question.rows(0, rows) for rows in (1, 64, 65, 256, 257)]
                questions += [Question(name, some), Question(name, some, version=9), Question("nothing", some)]
                questions += [Question(name, {"hours": np.array([1000.0])})]
                for form in PATHS:
                    for one in questions:
                        sent(channel, form, body(form, one))
                        asked += 1
                requests = [body("epm", one) for one in questions[1:]]
                asked += len(list(channel.stream_stream(STREAM)(iter(requests), timeout=60)))
    return asked


def values(samples: list[Sample], names: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """By name and labels, what is 0 left out."""
    found: Counter[tuple[str, ...]] = Counter()
    for one in samples:
        if one.name in names and one.value:
            found[one.name, *(f"{label}={value}" for label, value in sorted(one.labels.items()))] += one.value
    return found


def test_both_listeners_count_the_same(both: dict[str, Inside]) -> None:
    said, asked = {}, {}
    for listener, at in both.items():
        before = values(at.samples(), SAME + OF_ONE_CALL)
        asked[listener] = traffic(at)
        after = at.samples()
        said[listener] = values(after, SAME + OF_ONE_CALL) - before
        assert total(after, "epm_requests_in_flight") == 0
        assert total(after, "epm_rows_in_flight") == 0
        assert sum(of_name(said[listener], "epm_requests_total").values()) == asked[listener]
        assert stages_add_up(after)
    assert said["h2"] == said["grpc_aio"]
    for name in SAME + OF_ONE_CALL:
        assert of_name(said["h2"], name), name
    assert min(both["h2"].messages()[by] for by in ("compiled", "featured", "python")) > 0


def of_name(found: Counter[tuple[str, ...]], name: str) -> dict[tuple[str, ...], int]:
    return {key: value for key, value in found.items() if key[0] == name}


def stages_add_up(samples: list[Sample]) -> bool:
    """The stages of all predictions together take as long as the predictions."""
    sums = [
        sum(one.value for one in samples if one.name == f"{name}_sum" and one.labels.get("size") != "")
        for name in ("epm_stage_duration_seconds", "epm_request_duration_seconds")
    ]
    return sums[0] == pytest.approx(sums[1], rel=1e-6)


def test_of_histograms_the_count_is_that_of_the_buckets(both: dict[str, Inside]) -> None:
    traffic(both["h2"])
    samples = both["h2"].samples()
    for name in ("epm_request_duration_seconds", "epm_stage_duration_seconds"):
        counted = {of_all(one): one.value for one in samples if one.name == f"{name}_count"}
        last = {
            of_all(one): one.value for one in samples if one.name == f"{name}_bucket" and one.labels["le"] == "+Inf"
        }
        assert counted == last
        assert sum(counted.values()) > 0


def of_all(one: Sample) -> tuple[str, ...]:
    return tuple(sorted(f"{label}={value}" for label, value in one.labels.items() if label != "le"))


def test_bounds_are_those_of_the_python_path() -> None:
    assert (count.BOUNDS / 1e9).tolist() == pytest.approx(BUCKETS, rel=1e-12)
    assert (count.STAGE_BOUNDS / 1e9).tolist() == pytest.approx(STAGE_BUCKETS, rel=1e-12)
    assert (len(BUCKETS) + 2, len(STAGE_BUCKETS) + 2) == (count.WHOLE, count.STAGE)
    assert count.SMALL_ROWS == SMALL_ROWS


@pytest.mark.parametrize("nanoseconds", [0, 1, 249_999, 250_000, 250_001, 10**10, 10**10 + 1, 10**12])
def test_a_time_falls_into_the_bucket_that_prometheus_means(nanoseconds: int) -> None:
    cells = np.zeros(count.WHOLE, np.int64)
    count.observe(cells, 0, count.BOUNDS, nanoseconds)
    (bucket,) = np.flatnonzero(cells[:-1])
    assert bucket == np.searchsorted(np.array(BUCKETS), nanoseconds / 1e9)
    assert cells[-1] == nanoseconds


def test_what_retired_versions_counted_stays(root: Path, both: dict[str, Inside]) -> None:
    """Also when they come and go between two looks at the metrics."""
    at, loaded = both["h2"], load_version(root / "missing" / "1")
    request = body("epm", Question("missing", kinds.sent(models.golden_columns(2, 1))))
    before = at.samples()
    with grpc.insecure_channel(at.grpc) as channel:
        for number in range(20):
            serve(at, ModelState("missing", {1: kinds.again(loaded)}))
            for _ in range(number):
                assert sent(channel, "epm", request)[0] == "OK"
    serve(at)
    after = at.samples()

    def grown(name: str) -> float:
        return total(after, name, model="missing") - total(before, name, model="missing")

    assert grown("epm_requests_total") == sum(range(20))
    assert grown("epm_rows_total") == 2 * sum(range(20))
    at.scan()


def test_with_metrics_off_nothing_is_counted_of_calls(root: Path) -> None:
    with Inside(root, metrics="off") as at:
        traffic(at)
        assert all(not flat.counts.any() for flat in at.listener._models.flats())
        assert values(at.samples(), SAME + OF_ONE_CALL) == {}
        assert at.messages()["compiled"] > 0
