"""What a gateway's /metrics says, as Prometheus would read it."""

import time
import urllib.request
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.gateways import Running


def scrape(at: Running) -> list[Sample]:
    """All samples of one moment."""
    with urllib.request.urlopen(f"http://{at.http}/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
    return [one for family in families for one in family.samples]


def total(samples: list[Sample], name: str, **labels: str) -> float:
    """The sum of all samples of that name that bear these labels; 0 when there are none."""
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def sample(at: Running, name: str, **labels: str) -> float:
    """The same, of this moment."""
    return total(scrape(at), name, **labels)


def until(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it holds, at the latest after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
