"""What is kept of predictions, and how often that helped; read whenever the metrics are read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class _Table(Protocol):
    @property
    def bytes(self) -> int: ...
    @property
    def entries(self) -> int: ...
    @property
    def evictions(self) -> int: ...


class _Cache(Protocol):
    @property
    def table(self) -> _Table: ...
    @property
    def outcomes(self) -> Mapping[str, int]: ...


class _Link(Protocol):
    @property
    def up(self) -> bool: ...


class Redis(Protocol):
    """What is measured of the Redis behind."""

    @property
    def link(self) -> _Link: ...
    @property
    def rows(self) -> Mapping[str, int]: ...


Caches = Callable[[], Iterable[tuple[str, int, _Cache]]]
"""Model, version and cache of those that keep predictions."""


class CacheState(Collector):
    """Gauges and counters by served version."""

    def __init__(self, caches: Caches, redis: Redis | None) -> None:
        self._caches = caches
        self._redis = redis

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        by = ["model", "version"]
        entries = GaugeMetricFamily("epm_cache_entries", "Predictions kept in this process.", labels=by)
        size = GaugeMetricFamily("epm_cache_bytes", "Bytes that the table of predictions may take.", labels=by)
        evictions = CounterMetricFamily("epm_cache_evictions", "Predictions that made room for others.", labels=by)
        rows = CounterMetricFamily(
            "epm_cache_rows",
            "Rows by where they were looked for: table or missed; of the missed: redis, shared.",
            labels=[*by, "from"],
        )
        for model, version, cache in self._caches():
            of = [model, str(version)]
            entries.add_metric(of, float(cache.table.entries))
            size.add_metric(of, float(cache.table.bytes))
            evictions.add_metric(of, float(cache.table.evictions))
            for outcome, count in cache.outcomes.items():
                rows.add_metric([*of, outcome], float(count))
        yield from (entries, size, evictions, rows)
        if self._redis is not None:
            yield GaugeMetricFamily("epm_cache_redis_up", "Whether its Redis answers.", float(self._redis.link.up))
            told = CounterMetricFamily(
                "epm_cache_redis_rows", "Rows asked of, or written to, Redis.", labels=["outcome"]
            )
            for outcome, count in self._redis.rows.items():
                told.add_metric([outcome], float(count))
            yield told
