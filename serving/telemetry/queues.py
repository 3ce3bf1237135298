"""What waits and what is under way, and how much of it there may be; read whenever the metrics are read."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Queues(Protocol):
    """What is measured of the way through."""

    def waiting(self) -> Iterable[tuple[str, int, int]]:
        """Model, version and rows that wait for a batch."""

    @property
    def waiting_limit(self) -> int:
        """Rows of one model that may wait."""

    @property
    def rows_in_flight(self) -> int:
        """Rows in worker threads, or waiting."""

    @property
    def rows_in_flight_limit(self) -> int:
        """How many there may be."""


class QueueState(Collector):
    """Gauges of one gateway."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All of them."""
        queues = self._queues
        waiting = GaugeMetricFamily("epm_queue_rows", "Rows that wait for a shared batch.", labels=["model", "version"])
        for model, version, rows in queues.waiting():
            waiting.add_metric([model, str(version)], rows)
        yield waiting
        for name, text, value in (
            ("epm_queue_limit_rows", "Rows of one model that may wait for a batch.", queues.waiting_limit),
            ("epm_rows_in_flight", "Rows in worker threads, or waiting.", queues.rows_in_flight),
            ("epm_rows_in_flight_limit", "How many of them there may be.", queues.rows_in_flight_limit),
        ):
            yield GaugeMetricFamily(name, text, float(value))
