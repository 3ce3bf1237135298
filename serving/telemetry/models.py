"""Which versions are served, and which are not; read whenever the metrics are read."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class _Refused(Protocol):
    @property
    def again(self) -> bool: ...


class _State(Protocol):
    @property
    def served(self) -> Mapping[int, object]: ...
    @property
    def refused(self) -> Mapping[int, _Refused]: ...


Models = Callable[[], Mapping[str, _State]]
"""The models of the repository now, by name."""


class ModelState(Collector):
    """Gauges of the repository."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All of them."""
        versions = GaugeMetricFamily(
            "epm_model_versions",
            "1 for each version by its state: served; refused, which can be the artifact on disk of a version that is "
            "still served as it was; waiting for its server.",
            labels=["model", "version", "state"],
        )
        models = self._models()
        for name, state in models.items():
            for version in state.served:
                versions.add_metric([name, str(version), "served"], 1.0)
            for version, refused in state.refused.items():
                versions.add_metric([name, str(version), "waiting" if refused.again else "refused"], 1.0)
        served = float(sum(bool(state.served) for state in models.values()))
        yield GaugeMetricFamily("epm_models_served", "Models with at least one served version.", served)
        yield versions
