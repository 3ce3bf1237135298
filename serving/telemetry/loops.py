"""What the loops of the compiled listener have counted of connections, streams and messages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class LoopCounts:
    """Of all loops together. Counters by event; gauges: what is open now."""

    connections: Mapping[str, int]
    streams: Mapping[str, int]
    messages: Mapping[str, int]
    octets: Mapping[str, int]
    floods: int
    protocol_errors: int
    connections_open: int
    calls_open: int
    message_bytes: int


Loops = Callable[[], LoopCounts]
_COUNTERS = (
    ("connections", "event", "Connections of the compiled listener."),
    ("streams", "event", "HTTP/2 streams of the compiled listener; one is one call."),
    ("messages", "by", "Messages, by who answered them; exhausted: nobody, for want of memory or room."),
    ("bytes", "direction", "Bytes on the wire, of the compiled listener."),
)


class LoopState(Collector):
    """Reads the counts whenever the metrics are read."""

    def __init__(self, loops: Loops) -> None:
        self._loops = loops

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        counts = self._loops()
        for (name, label, text), values in zip(
            _COUNTERS, (counts.connections, counts.streams, counts.messages, counts.octets), strict=True
        ):
            family = CounterMetricFamily(f"epm_h2_{name}", text, labels=[label])
            for event, value in values.items():
                family.add_metric([event], value)
            yield family
        text = "Connections that were ended because they sent too much of what costs only the server."
        yield CounterMetricFamily("epm_h2_floods", text, value=counts.floods)
        text = "Connections that were ended because they broke HTTP/2."
        yield CounterMetricFamily("epm_h2_protocol_errors", text, value=counts.protocol_errors)
        yield GaugeMetricFamily("epm_h2_connections_open", "Connections now.", value=counts.connections_open)
        yield GaugeMetricFamily("epm_h2_calls_open", "Calls now.", value=counts.calls_open)
        text = "Bytes of messages that the compiled listener holds now."
        yield GaugeMetricFamily("epm_h2_message_bytes", text, value=counts.message_bytes)
