"""A dashboard's JSON read again: what is shown where, and which queries Prometheus is asked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k8s.monitoring.dashboards.panels import Query


@dataclass(frozen=True)
class Shown:
    """A panel of `board`, or the heading of a row (kind "row"). at, size: columns of 24, and lines.

    steps: from which value on a number has which colour, None for the first. most: end of the axis, None for any.
    """

    board: str
    title: str
    description: str
    kind: str
    unit: str
    at: tuple[int, int]
    size: tuple[int, int]
    queries: tuple[Query, ...] = ()
    stacked: bool = False
    most: float | None = None
    logarithmic: bool = False
    steps: tuple[tuple[float | None, str], ...] = ()


def panels(text: str) -> list[Shown]:
    """Rows and panels of a dashboard, in order."""
    board = json.loads(text)
    return [_shown(board["title"], panel) for panel in board["panels"]]


def variables(text: str) -> dict[str, str]:
    """The query of each variable that the reader chooses from Prometheus."""
    listed = json.loads(text)["templating"]["list"]
    return {one["name"]: one["query"]["query"] for one in listed if one["type"] == "query"}


def filled(expr: str, values: Mapping[str, str]) -> str:
    """A query with its variables filled in, as Grafana does before it asks."""
    for name in sorted(values, key=len, reverse=True):
        expr = expr.replace(f"${name}", values[name])
    return expr


def _shown(board: str, panel: dict[str, Any]) -> Shown:
    place = panel["gridPos"]
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    return Shown(
        board,
        panel["title"],
        panel.get("description", ""),
        panel["type"],
        defaults.get("unit", ""),
        (place["x"], place["y"]),
        (place["w"], place["h"]),
        tuple(Query(target["expr"], target["legendFormat"]) for target in panel.get("targets", [])),
        defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        defaults.get("max"),
        defaults.get("custom", {}).get("scaleDistribution", {}).get("type") == "log",
        tuple((step["value"], step["color"]) for step in defaults.get("thresholds", {}).get("steps", [])),
    )
