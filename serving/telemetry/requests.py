"""Calls, and messages of streams: how many, how they ended, how long they took, and where the time went."""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.stages import ENCODE, NAMES, UNTIMED, Stopwatch
from serving.telemetry.flat import Counters, Histograms
from serving.telemetry.notes import Notes

BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
STAGE_BUCKETS = (0.00001, 0.000025, 0.00005, 0.0001, *BUCKETS)
SMALL_ROWS = 64
"""A page of an HR portal has no more rows; what has is a batch, for which another patience holds."""

SERVER_ERRORS = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL")
"""Counted as 0 from the first call on: Prometheus sees no increase in a counter that is born with a burst."""

Method = tuple[str, str]
"""Protocol and method, as metrics name them."""


class Requests(Collector):
    """On one event loop. Labels are what is served and how it ended, never what a caller wrote."""

    def __init__(self) -> None:
        by = ("protocol", "method", "model", "version")
        self._total = Counters("epm_requests", "Calls, and messages of streams, answered.", (*by, "status"))
        self._seconds = Histograms(
            "epm_request_duration_seconds",
            "From the bytes of a request to the bytes of its answer, of those that were answered OK. size: small up to "
            f"{SMALL_ROWS} rows, large above, none where there are no rows.",
            (*by, "size"),
            BUCKETS,
        )
        self._stages = Histograms(
            "epm_stage_duration_seconds",
            "Where the time of predictions that were answered OK went: the stages add up to the whole.",
            ("stage", "model", "version"),
            STAGE_BUCKETS,
        )
        self._known: dict[tuple[Any, ...], tuple[int, int, tuple[int, ...]]] = {}
        self._in_flight: dict[str, int] = {}
        self._notes = Notes(self._count)

    def begun(self, method: Method) -> Stopwatch:
        """One more is on its way; whoever asks says `finished` of it."""
        self._in_flight[method[0]] = self._in_flight.get(method[0], 0) + 1
        return Stopwatch()

    def finished(self, method: Method, model: tuple[str, int] | None, status: str, watch: Stopwatch) -> None:
        """One has been answered. model: name and version of what answered, None where nothing served was asked for."""
        self._notes.add((method, model, status, watch, monotonic()))

    def add(self, method: Method, model: tuple[str, int], size: str, buckets: Sequence[int], seconds: float) -> None:
        """Count calls that were answered OK elsewhere: how many there were in each bucket, and how long all took."""
        known = self._known.get((method, model, "OK", size))
        if known is None:
            known = self._known[method, model, "OK", size] = self._cells(method, model, "OK", size)
        self._total.add(known[0], sum(buckets))
        self._seconds.add(known[1], buckets, seconds)

    def add_stage(self, model: tuple[str, int], stage: int, buckets: Sequence[int], seconds: float) -> None:
        """Count times of a stage in the same way."""
        row = self._stages.row((NAMES[stage], model[0], str(model[1])))
        self._stages.add(row, buckets, seconds)

    def _count(self, notes: list[tuple[Method, tuple[str, int] | None, str, Stopwatch, float]]) -> None:
        for method, model, status, watch, ended in notes:
            self._in_flight[method[0]] -= 1
            rows = watch.rows
            size = "" if not rows else "small" if rows <= SMALL_ROWS else "large"
            known = self._known.get((method, model, status, size))
            if known is None:
                known = self._known[method, model, status, size] = self._cells(method, model, status, size)
            total, whole, stages = known
            self._total.add(total)
            if status != "OK":
                continue
            if rows:
                watch.lap_until(ENCODE, ended)
                self._stages.observe_each(stages, watch.seconds)
            self._seconds.observe(whole, ended - watch.began)

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        self._notes.settle()
        yield from self._total.collect()
        yield from self._seconds.collect()
        yield from self._stages.collect()
        running = GaugeMetricFamily(
            "epm_requests_in_flight", "Calls, and messages of streams, being answered.", labels=["protocol"]
        )
        for protocol, count in self._in_flight.items():
            running.add_metric([protocol], count)
        yield running

    def _cells(
        self, method: Method, model: tuple[str, int] | None, status: str, size: str
    ) -> tuple[int, int, tuple[int, ...]]:
        of = (model[0], str(model[1])) if model else ("", "")
        total, *_ = [self._total.row((*method, *of, each)) for each in (status, *SERVER_ERRORS)]
        if status != "OK":
            return total, -1, ()
        stages = tuple(self._stages.row((stage, *of)) for stage in NAMES) if size else ()
        return total, self._seconds.row((*method, *of, size)), stages


class NoRequests(Requests):
    """Counts nothing: what metrics cost is measured beside it, and EPM_METRICS=off is it."""

    def begun(self, method: Method) -> Stopwatch:
        return UNTIMED

    def finished(self, method: Method, model: tuple[str, int] | None, status: str, watch: Stopwatch) -> None:
        pass
