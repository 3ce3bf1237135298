"""Compiled kernels: whether this process could read them, or had to compile; read whenever the metrics are read."""

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class KernelCounts(Protocol):
    """What is counted of them."""

    compiled: int
    loaded: int
    unwritten: int


class KernelState(Collector):
    """Counters of one process."""

    def __init__(self, counts: KernelCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        """All of them."""
        kernels = CounterMetricFamily(
            "epm_jit_kernels",
            "Kernels by where their code came from: kept in the folder, or compiled now.",
            labels=["source"],
        )
        kernels.add_metric(["kept"], self._counts.loaded)
        kernels.add_metric(["compiled"], self._counts.compiled)
        yield kernels
        text = "Compiled kernels that could not be kept: the next start compiles them again."
        yield CounterMetricFamily("epm_jit_unwritten", text, float(self._counts.unwritten))
