"""Prometheus metrics. Labels are bounded: protocols, methods, statuses, served models; never what a caller wrote."""

import asyncio
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from serving.stages import Stopwatch
from serving.telemetry.backends import BackendCounts, NoBackendCounts
from serving.telemetry.cache import Caches, CacheState
from serving.telemetry.cache import Redis as CacheRedis
from serving.telemetry.compiled import KernelCounts, KernelState
from serving.telemetry.inputs import InputStates
from serving.telemetry.loops import Loops as LoopStates
from serving.telemetry.loops import LoopState
from serving.telemetry.models import Models, ModelState
from serving.telemetry.queues import Queues, QueueState
from serving.telemetry.requests import Method, NoRequests, Requests
from serving.telemetry.servers import Remotes, ServerStates
from serving.telemetry.store import Store, StoreState
from serving.version import __version__


class Metrics:
    """All metrics of one gateway, in a registry of its own."""

    def __init__(self, on: bool = True) -> None:
        """on: without it nothing is counted on the way of a call."""
        disable_created_metrics()
        self.on = on
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.requests = Requests() if on else NoRequests()
        self.begun: Callable[[Method], Stopwatch] = self.requests.begun
        """One call, or message of a stream, is on its way; its stopwatch goes with it."""
        self.finished: Callable[[Method, tuple[str, int] | None, str, Stopwatch], None] = self.requests.finished
        """It has been answered: method, name and version of what answered, status, its stopwatch."""
        self.backends = BackendCounts() if on else NoBackendCounts()
        self._inputs = InputStates()
        self._settle: Callable[[], None] = lambda: None
        self._loads = Counter(
            "epm_model_loads", "Versions loaded or refused.", ("model", "version", "outcome"), registry=self.registry
        )
        build = Gauge("epm_build_info", "The version of the program.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)
        for counted in (self.requests, self.backends, self._inputs):
            self.registry.register(counted)

    def watch(self, ready: Callable[[], bool]) -> None:
        """Read whether calls should be sent here whenever the metrics are read."""
        gauge = Gauge("epm_ready", "Whether calls should be sent here, as /readyz says.", registry=self.registry)
        gauge.set_function(ready)

    def watch_models(self, models: Models) -> None:
        """Read which versions are served whenever the metrics are read."""
        self._register(ModelState(models))

    def watch_queues(self, queues: Queues) -> None:
        """Read what waits, and how much may, whenever the metrics are read."""
        self._register(QueueState(queues))

    def watch_kernels(self, counts: KernelCounts) -> None:
        """Read what was compiled whenever the metrics are read."""
        self._register(KernelState(counts))

    def watch_store(self, store: Store) -> None:
        """Read the state of the online store whenever the metrics are read."""
        self._register(StoreState(store))

    def watch_servers(self, remotes: Remotes) -> None:
        """Read the state of servers whenever the metrics are read."""
        self._register(ServerStates(remotes))

    def watch_loops(self, loops: LoopStates, settle: Callable[[], None]) -> None:
        """Read the state of compiled loops whenever the metrics are read; `settle` first adds what they counted."""
        self._settle = settle
        self._register(LoopState(loops))

    def watch_caches(self, caches: Caches, redis: CacheRedis | None) -> None:
        """Read what is kept of predictions whenever the metrics are read."""
        self._register(CacheState(caches, redis))

    def _register(self, collector: Collector) -> None:
        self.registry.register(collector)

    def loaded(self, model: str, version: int, outcome: str) -> None:
        """Count one load of a version: "served" or "refused"."""
        self._loads.labels(model, version, outcome).inc()

    def inputs(self, served: Any, counts: Any, rows: int, low: int) -> None:
        """Count the states of the inputs of a batch. counts: int64[4, inputs] or None; low: rows of low coverage."""
        if self.on:
            self._inputs.add((served.name, str(served.version)), served.schema.names, counts, rows, low)

    async def text(self) -> bytes:
        """The exposition (https://prometheus.io/docs/instrumenting/exposition_formats/).

        Family by family: calls have their turn in between.
        """
        self._settle()
        parts = []
        for family in self.registry.collect():
            parts.append(generate_latest(_One(family)))
            await asyncio.sleep(0)
        return b"".join(parts)


class _One(CollectorRegistry):
    """A registry with one family."""

    def __init__(self, family: Any) -> None:
        self._family = family

    def collect(self) -> Any:
        return (self._family,)
