"""Bars of two ratios a case: how many times as fast as the best other way, and the share of the copy bandwidth."""

import statistics
from collections.abc import Sequence
from pathlib import Path

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
Bar = tuple[str, str, str, Sequence[float]]
"""Kernel, case, the best other way, times as fast round by round."""


def draw(bars: Sequence[Bar], shares: Sequence[float], file: Path) -> None:
    """Write a PNG; the same figures give the same bytes (no date, no software version in it)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    kernels = list(dict.fromkeys(kernel for kernel, *_ in bars))
    colours = [f"C{kernels.index(kernel)}" for kernel, *_ in bars]
    places = range(len(bars))
    middle = [statistics.median(found) for *_, found in bars]
    least, most = [min(found) for *_, found in bars], [max(found) for *_, found in bars]
    chart, (left, right) = plt.subplots(
        1, 2, figsize=(10, 0.25 * len(bars) + 1), layout="constrained", sharey=True, width_ratios=(2, 1)
    )
    left.barh(places, [value - 1 for value in middle], left=1, color=colours, height=0.7)
    left.hlines(places, least, most, color="black", linewidth=1)
    for place, (_, _, way, _), end in zip(places, bars, most, strict=True):
        left.text(max(end, 1) * 1.08, place, way, va="center", fontsize="x-small")
    left.axvline(1, color="black", linewidth=0.8)
    left.set_xscale("log")
    left.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    left.minorticks_off()
    left.margins(y=0.01)
    left.set_xlim(max(0.05, min(*least, 0.5) * 0.8), max(most) * 12)
    left.set_yticks(places, [f"{kernel}: {case}" for kernel, case, *_ in bars], fontsize="small")
    left.invert_yaxis()
    left.set_xlabel("times as fast as the best other way (named)")
    right.barh(places, [100 * share for share in shares], color=colours, height=0.7)
    right.set_xscale("log")
    right.set_xlabel("% of the copy bandwidth")
    chart.savefig(file, dpi=120, metadata={"Software": None})
    plt.close(chart)
