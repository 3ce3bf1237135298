"""What the online store and its replica are doing, read whenever the metrics are read."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class _Link(Protocol):
    @property
    def up(self) -> bool: ...
    @property
    def age_seconds(self) -> float: ...

    resets: int
    reconnects: int
    round_trips: dict[str, int]


class _Replica(Protocol):
    @property
    def entries(self) -> int: ...
    @property
    def bytes_used(self) -> int: ...
    @property
    def bytes_at_most(self) -> int: ...
    @property
    def evictions(self) -> int: ...


class Store(Protocol):
    """What is measured of an online store."""

    @property
    def link(self) -> _Link: ...
    @property
    def replica(self) -> _Replica: ...
    @property
    def rows(self) -> Mapping[str, int]: ...
    @property
    def corrupt(self) -> int: ...
    @property
    def most_stale_seconds(self) -> float: ...


class StoreState(Collector):
    """Gauges and counters of one online store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        store, link, replica = self._store, self._store.link, self._store.replica
        for name, text, value in (
            ("epm_store_up", "Whether Redis answers.", float(link.up)),
            ("epm_replica_age_seconds", "How long ago Redis last said that the replica is right.", link.age_seconds),
            (
                "epm_replica_most_stale_seconds",
                "How old it may get while Redis is away; then its rows are UNAVAILABLE.",
                store.most_stale_seconds,
            ),
            ("epm_replica_entities", "Records in the replica.", replica.entries),
            ("epm_replica_bytes", "Bytes of the records in the replica.", replica.bytes_used),
            ("epm_replica_limit_bytes", "Bytes that the replica may take.", replica.bytes_at_most),
        ):
            yield GaugeMetricFamily(name, text, float(value))
        for name, text, count in (
            ("epm_replica_evictions", "Records that made room for others.", replica.evictions),
            ("epm_store_resets", "Redis came back empty, or was another one.", link.resets),
            ("epm_store_reconnects", "Connections to Redis after the first one.", link.reconnects),
            ("epm_store_corrupt_records", "Records in Redis that could not be read.", store.corrupt),
        ):
            yield CounterMetricFamily(name, text, float(count))
        for name, text, label, counts in (
            ("epm_store_rows", "Rows by id, by where their record came from.", "outcome", store.rows),
            ("epm_store_round_trips", "Round trips to Redis.", "outcome", link.round_trips),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for outcome, count in counts.items():
                family.add_metric([outcome], count)
            yield family
