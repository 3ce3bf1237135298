"""The rows of the tables out of the figures: one for each way in which a server was asked."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtest.bench.rounds import CLOSED

Figures = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A server, asked in one way. name: the server's title alone. missing: why it has no figures, or nothing."""

    server: str
    wire: str
    name: str
    title: str
    predicts: bool
    missing: str | None


def lines(figures: Figures) -> list[Line]:
    """In the order of the tables."""
    return [
        Line(
            peer["name"],
            wire["name"],
            peer["title"],
            ", ".join(filter(None, (peer["title"], wire["title"]))),
            wire["predicts"],
            peer["missing"],
        )
        for peer in figures["peers"]
        for wire in peer["wires"]
    ]


def sizes(figures: Figures) -> list[int]:
    """Rows a call."""
    return [int(rows) for rows in figures["conditions"]["rates"]]


def runs(figures: Figures, line: Line, rows: int, kind: str = CLOSED) -> list[Figures]:
    """By round."""
    wanted = {"server": line.server, "wire": line.wire, "rows": rows, "kind": kind}
    return sorted((run for run in figures["runs"] if wanted.items() <= run.items()), key=lambda run: int(run["round"]))


def values(figures: Figures, line: Line, rows: int, what: str, kind: str = CLOSED) -> list[float]:
    """One figure of each run; empty without runs."""
    return [run[what] for run in runs(figures, line, rows, kind)]


def median(figures: Figures, line: Line, rows: int, what: str, kind: str = CLOSED) -> float:
    """NaN without runs."""
    found = values(figures, line, rows, what, kind)
    return statistics.median(found) if found else float("nan")


def starts(figures: Figures, server: str, what: str) -> list[float]:
    """One figure of each start."""
    return [start[what] for start in figures["starts"] if start["server"] == server]


def measured(figures: Figures) -> Iterator[Line]:
    """Those with figures."""
    return (line for line in lines(figures) if not line.missing and runs(figures, line, sizes(figures)[0]))
