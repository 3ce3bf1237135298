"""What a gateway's /metrics says, as Prometheus would read it."""

import time
import urllib.request
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateways import Running


def sample(at: Running, name: str, **labels: str) -> float:
    """The sum of all samples of that name that bear these labels; 0 when there are none."""
    with urllib.request.urlopen(f"http://{at.http}/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
    found = [one for family in families for one in family.samples if one.name == name]
    return sum(one.value for one in found if labels.items() <= one.labels.items())


def until(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it holds, at the latest after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
