"""Prometheus metrics. Labels are bounded: protocols, methods, statuses, served models; never what a caller wrote."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from serving.telemetry.backends import BackendCounts
from serving.telemetry.cache import Caches, CacheState
from serving.telemetry.cache import Redis as CacheRedis
from serving.telemetry.inputs import InputStates
from serving.telemetry.servers import Remotes, ServerStates
from serving.telemetry.store import Store, StoreState

BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """All metrics of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._requests = Counter(
            "epm_requests",
            "Calls, and messages of streams, answered.",
            ("protocol", "method", "model", "version", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "epm_request_duration_seconds",
            "From the bytes of a request to the bytes of its answer.",
            ("protocol", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._loads = Counter(
            "epm_model_loads", "Versions loaded or refused.", ("model", "version", "outcome"), registry=self.registry
        )
        self._served = Gauge("epm_models_served", "Models with at least one served version.", registry=self.registry)
        self._rows = Gauge("epm_rows_in_flight", "Rows being computed in worker threads.", registry=self.registry)
        self._inputs = InputStates()
        self.registry.register(self._inputs)
        self.backends = BackendCounts(self.registry)
        self._children: dict[tuple[Any, ...], Any] = {}

    def watch(self, models_served: Callable[[], int], rows_in_flight: Callable[[], int]) -> None:
        """Read gauges whenever the metrics are read."""
        self._served.set_function(models_served)
        self._rows.set_function(rows_in_flight)

    def watch_store(self, store: Store) -> None:
        """Read the state of the online store whenever the metrics are read."""
        self.registry.register(StoreState(store))

    def watch_servers(self, remotes: Remotes) -> None:
        """Read the state of servers whenever the metrics are read."""
        self.registry.register(ServerStates(remotes))

    def watch_caches(self, caches: Caches, redis: CacheRedis | None) -> None:
        """Read what is kept of predictions whenever the metrics are read."""
        self.registry.register(CacheState(caches, redis))

    def finished(self, method: tuple[str, str], model: tuple[str, int] | None, status: str, seconds: float) -> None:
        """Count one answered call or message. method: (protocol, method); model: (name, version) of what answered."""
        known = self._children.get((method, model, status))
        if known is None:
            name, version = model or ("", "")
            known = self._requests.labels(*method, name, version, status), self._seconds.labels(*method)
            self._children[method, model, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def loaded(self, model: str, version: int, outcome: str) -> None:
        """Count one load of a version: "served" or "refused"."""
        self._loads.labels(model, version, outcome).inc()

    def inputs(self, served: Any, counts: Any, rows: int, low: int) -> None:
        """Count the states of the inputs of a batch. counts: int64[4, inputs] or None; low: rows of low coverage."""
        self._inputs.add((served.name, str(served.version)), served.schema.names, counts, rows, low)

    def text(self) -> bytes:
        """The exposition (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
        return generate_latest(self.registry)
