"""`python -m k8s.monitoring.draw`: run everything for three minutes, draw what the dashboards show of it.

A real gateway is under steady load while its Redis, and then its Triton, go away and come back; a real Prometheus
scrapes it and evaluates the rules. The pictures hold what that Prometheus gives to the dashboards' own queries.
"""

import re
import tempfile
import time
from pathlib import Path
from typing import Any

from k8s.monitoring.dashboards import files
from k8s.monitoring.dashboards.panels import Query
from k8s.monitoring.dashboards.reading import Shown, filled, panels
from k8s.monitoring.picture import Event, Line, draw

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
VALUES = {"__rate_interval": "10s", "model": "attrition_model", "version": ".*"}
STEADY, AWAY, BACK = 40.0, 40.0, 25.0
"""Seconds before anything happens, without a server at least, and after it is back."""
BEGIN = 8.0
"""Seconds of load before a picture begins: rates need some."""


def main() -> None:
    """Write docs/images/dashboard-*.png."""
    from tests.monitoring.observed import observed

    with tempfile.TemporaryDirectory() as folder, observed(Path(folder)) as place:
        start = place.began + BEGIN
        events = story(place, start)
        place.scraped()
        end = time.time()
        for name, text in files().items():
            shown = panels(text)
            lines = {panel.title: collect(place.prometheus, panel, start, end) for panel in shown}
            file = IMAGES / f"dashboard-{name.removesuffix('.json')}.png"
            draw(shown, lines, events, end - start, file)
            print(file)
        if wrong := place.traffic.wrong():
            raise SystemExit(f"{len(wrong)} answers are wrong, the first one: {wrong[0]}")


def story(place: Any, start: float) -> list[Event]:
    """What happens to an observed gateway; the events, in seconds since `start`."""
    time.sleep(max(0.0, start + STEADY - time.time()))
    events = []
    for name, server, alert in (
        ("Redis away", place.redis, "EpmStoreAway"),
        ("Triton away", place.triton, "EpmBackendDown"),
    ):
        gone = time.time()
        server.kill()
        time.sleep(AWAY)
        place.wait(f"{alert} fires", lambda alert=alert: "firing" in place.prometheus.alerts(alert))
        server.start()
        place.wait("Triton is asked", place.is_asked)
        events.append(Event(name, gone - start, time.time() - start))
        time.sleep(BACK)
    return events


def collect(prometheus: Any, panel: Shown, start: float, end: float) -> list[Line]:
    """What a Prometheus gives to the queries of a panel."""
    lines = []
    for query in panel.queries:
        expr = filled(query.expr, VALUES)
        found = prometheus.query(expr, end) if panel.kind == "stat" else prometheus.over(expr, start, end, 1)
        for series in sorted(found, key=lambda one: sorted(one.labels.items())):
            points = tuple((when - start, value) for when, value in series.points)
            lines.append(Line(_name(query, series.labels), points))
    return lines


def _name(query: Query, labels: dict[str, str]) -> str:
    """Of a series in the legend."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), query.legend)


if __name__ == "__main__":
    main()
