"""Two pictures of servers side by side: bars of requests/s and processor time; p50 and p99 at the equal rate."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Values = Mapping[tuple[str, str], Sequence[float]]
"""(title of a server, label of a bar) -> one value a round; a server may lack a label."""


@dataclass(frozen=True)
class Panel:
    """One chart of a picture."""

    title: str
    values: Values


def draw(panels: Sequence[Panel], file: Path) -> None:
    """Write a PNG of panels side by side that share their servers; the same values give the same bytes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    servers = list(dict.fromkeys(server for panel in panels for server, _ in panel.values))
    height = 1.6 + 0.62 * len(servers)
    chart, all_axes = plt.subplots(
        1, len(panels), figsize=(11, height), sharey=True, layout="constrained", squeeze=False
    )
    for axes, panel in zip(all_axes[0], panels, strict=True):
        _bars(axes, panel, servers)
    all_axes[0][0].invert_yaxis()
    chart.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(chart)


def _bars(axes: Any, panel: Panel, servers: Sequence[str]) -> None:
    """Horizontal bars of medians on a logarithmic scale, with whiskers from the smallest to the largest round."""
    labels = list(dict.fromkeys(label for _, label in panel.values))
    width = 0.8 / len(labels)
    for at, label in enumerate(labels):
        found = [(number, panel.values.get((server, label), ())) for number, server in enumerate(servers)]
        there = [(number + (at - (len(labels) - 1) / 2) * width, rounds) for number, rounds in found if rounds]
        middle = [statistics.median(rounds) for _, rounds in there]
        whiskers = [_differences(there, middle, min), _differences(there, middle, max)]
        bars = axes.barh([place for place, _ in there], middle, width * 0.9, xerr=whiskers, capsize=2, label=label)
        axes.bar_label(
            bars, labels=[f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in middle], padding=4
        )
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.15)
    axes.set_yticks(range(len(servers)), servers)
    axes.set_title(panel.title, fontsize="medium")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(labels))


def _differences(
    there: Sequence[tuple[float, Sequence[float]]], middle: Sequence[float], end: Callable[[Sequence[float]], float]
) -> list[float]:
    return [abs(value - end(rounds)) for value, (_, rounds) in zip(middle, there, strict=True)]
