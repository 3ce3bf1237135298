"""What backends, batches and shadows do. Counted in plain numbers on the way, read whenever the metrics are read."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.telemetry.flat import Histograms
from serving.telemetry.notes import Notes

BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
WAITED = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


@dataclass(slots=True)
class _Asked:
    """Of one backend, with one outcome."""

    calls: int = 0
    rows: int = 0
    seconds: float = 0.0


class BackendCounts(Collector):
    """Counters by model, version and backend: all of them served, so bounded. From any thread, but for `batched`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, str, str, str], _Asked] = {}
        self._notes = Notes(self._count)
        self._shadowed: Counter[tuple[str, ...]] = Counter()
        model = ("model", "version")
        self._batch_rows = Histograms("epm_batch_rows", "Rows in one shared batch.", model, BATCH_ROWS)
        text = "How long the first call of a batch waited for it."
        self._batch_waited = Histograms("epm_batch_wait_seconds", text, model, WAITED)

    def observer(self, model: str, version: int) -> Callable[[_Named, str, int, float], None]:
        """What counts the answers of one version's backends: backend, outcome, rows, seconds."""
        of, note = (model, str(version)), self._notes.add
        return lambda backend, outcome, rows, seconds: note((of, backend.name, outcome, rows, seconds))

    def _count(self, notes: list[tuple[tuple[str, str], str, str, int, float]]) -> None:
        with self._lock:
            for of, backend, outcome, rows, seconds in notes:
                asked = self._asked.setdefault((*of, backend, outcome), _Asked())
                asked.calls += 1
                asked.rows += rows
                asked.seconds += seconds

    def add(self, model: str, version: int, backend: str, calls: int, rows: int, seconds: float) -> None:
        """Count calls of a backend that were answered elsewhere."""
        with self._lock:
            asked = self._asked.setdefault((model, str(version), backend, "ok"), _Asked())
            asked.calls, asked.rows, asked.seconds = asked.calls + calls, asked.rows + rows, asked.seconds + seconds

    def batched(self, model: str, version: int, rows: int, calls: int, waited: float) -> None:
        """Count one shared batch. On the event loop."""
        of = (model, str(version))
        self._batch_rows.observe(self._batch_rows.row(of), rows)
        self._batch_waited.observe(self._batch_waited.row(of), waited)

    def shadowed(self, model: str, version: int, backend: str, outcome: str, rows: int) -> None:
        """Count rows that a shadow backend was, or would have been, asked for."""
        with self._lock:
            self._shadowed[model, str(version), backend, outcome] += rows

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        self._notes.settle()
        by = ["model", "version", "backend"]
        calls: Counter[Any] = Counter()
        rows: Counter[Any] = Counter()
        seconds: Counter[Any] = Counter()
        with self._lock:  # let go before others have their turn: calls in any thread wait for it
            shadowed = self._shadowed.copy()
            for labels, asked in self._asked.items():
                calls[labels] = asked.calls
                rows[labels[:3]] += asked.rows
                seconds[labels[:3]] += asked.seconds  # type: ignore[assignment] # a Counter of any numbers
        yield _family("epm_backend_calls", "Batches that a backend was asked for.", [*by, "outcome"], calls)
        yield _family("epm_backend_rows", "Rows that a backend was asked for.", by, rows)
        yield _family("epm_backend_seconds", "Seconds in which a backend was asked.", by, seconds)
        yield _family("epm_shadow_rows", "Rows of a sample, asked of a shadow.", [*by, "outcome"], shadowed)
        yield from self._batch_rows.collect()
        yield from self._batch_waited.collect()


class NoBackendCounts(BackendCounts):
    """Counts nothing."""

    def observer(self, model: str, version: int) -> Callable[[_Named, str, int, float], None]:
        return lambda backend, outcome, rows, seconds: None

    def batched(self, model: str, version: int, rows: int, calls: int, waited: float) -> None:
        pass

    def shadowed(self, model: str, version: int, backend: str, outcome: str, rows: int) -> None:
        pass


def _family(name: str, text: str, labels: list[str], counts: "Counter[Any]") -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in counts.items():
        family.add_metric(key, float(value))
    return family
