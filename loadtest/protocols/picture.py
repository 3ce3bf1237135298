"""Bars of a ratio by protocol, one bar a size; whiskers go from the smallest to the largest round."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

Ratios = Mapping[tuple[str, int], Sequence[float]]
"""(title of a protocol, rows a call) -> one ratio a round."""


def draw(ratios: Ratios, file: Path) -> None:
    """Write a PNG; the same ratios give the same bytes (no date, no software version in it)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    protocols = list(dict.fromkeys(protocol for protocol, _ in ratios))
    sizes = sorted({rows for _, rows in ratios})
    width = 0.8 / len(sizes)
    chart, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for at, rows in enumerate(sizes):
        rounds = [ratios[protocol, rows] for protocol in protocols]
        middle = [statistics.median(values) for values in rounds]
        down = [m - min(values) for m, values in zip(middle, rounds, strict=True)]
        up = [max(values) - m for m, values in zip(middle, rounds, strict=True)]
        places = [number + (at - (len(sizes) - 1) / 2) * width for number in range(len(protocols))]
        label = f"{rows} row{'s' * (rows > 1)} a call"
        bars = axes.bar(places, middle, width * 0.92, yerr=[down, up], capsize=3, label=label)
        axes.bar_label(bars, fmt="%.2f", padding=2)
    axes.axhline(1, color="grey", linewidth=1, linestyle="--")
    axes.set_xticks(range(len(protocols)), protocols)
    axes.set_ylabel("calls/s, echo = 1")
    axes.set_ylim(0, max(1.2, *(1.15 * max(values) for values in ratios.values())))
    axes.legend(loc="upper right", ncols=len(sizes), frameon=False)
    chart.savefig(file, dpi=120, metadata={"Software": None})
    plt.close(chart)
