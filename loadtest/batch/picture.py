"""Bars of rows a second by way; whiskers go from the smallest to the largest round."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path


def draw(rates: Mapping[str, Sequence[float]], ours: Mapping[str, bool], file: Path) -> None:
    """Write a PNG; the same rates give the same bytes (no date, no software version in it)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    titles = list(rates)[::-1]
    middle = [statistics.median(rates[title]) for title in titles]
    left = [m - min(rates[title]) for m, title in zip(middle, titles, strict=True)]
    right = [max(rates[title]) - m for m, title in zip(middle, titles, strict=True)]
    chart, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    colours = ["tab:blue" if ours[title] else "tab:grey" for title in titles]
    bars = axes.barh(range(len(titles)), middle, xerr=[left, right], capsize=3, color=colours)
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in middle], padding=4)
    labels = ["\n".join(textwrap.wrap(title.replace("`", ""), 34)) for title in titles]
    axes.set_yticks(range(len(titles)), labels, fontsize=8)
    axes.set_xlabel("rows a second, start of the process included")
    axes.set_xlim(0, 1.18 * max(max(values) for values in rates.values()))
    chart.savefig(file, dpi=120, metadata={"Software": None})
    plt.close(chart)
