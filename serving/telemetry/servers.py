"""The servers that models are executed at: how many addresses are asked, and how that went."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

STATES = ("closed", "half_open", "open")


class _Address(Protocol):
    @property
    def state(self) -> str: ...


class _Remote(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def outcomes(self) -> Mapping[str, int]: ...

    def states(self) -> Sequence[_Address]: ...


Remotes = Callable[[], Iterable[tuple[str, int, _Remote]]]
"""Model, version and backend of all that are served now."""


class ServerStates(Collector):
    """Addresses are counted, not named: where pods come and go there is no end of them."""

    def __init__(self, remotes: Remotes) -> None:
        self._remotes = remotes

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        labels = ["model", "version", "backend"]
        text = "Addresses of a backend by the state of their breaker; only closed ones are asked."
        addresses = GaugeMetricFamily("epm_backend_addresses", text, labels=[*labels, "state"])
        tries = CounterMetricFamily("epm_backend_tries", "Calls to servers, each try.", labels=[*labels, "outcome"])
        for by, remotes in self._by_name().items():
            states = Counter(str(address.state) for remote in remotes for address in remote.states())
            outcomes: Counter[str] = Counter()
            for remote in remotes:
                outcomes.update(remote.outcomes)
            for state in STATES:
                addresses.add_metric([*by, state], float(states[state]))
            for outcome, count in outcomes.items():
                tries.add_metric([*by, outcome], float(count))
        yield from (addresses, tries)

    def _by_name(self) -> dict[tuple[str, str, str], list[_Remote]]:
        """A model may have the same kind of backend twice: in front, and as its shadow."""
        found: dict[tuple[str, str, str], list[_Remote]] = {}
        for model, version, remote in self._remotes():
            found.setdefault((model, str(version), remote.name), []).append(remote)
        return found
