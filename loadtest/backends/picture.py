"""Calls a second by callers, with batching and without; the band goes from the smallest to the largest round."""

import statistics
from pathlib import Path
from typing import Any


def draw(curve: list[dict[str, Any]], file: Path) -> None:
    """Write a PNG; the same figures give the same bytes. curve: as `pipeline.measure` gives it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    chart, axes = plt.subplots(figsize=(6, 3.3), layout="constrained")
    for way in ("off", "on"):
        points = [point for point in curve if point["batching"] == way]
        callers = [point["callers"] for point in points]
        rates = [point["calls_per_second"] for point in points]
        (line,) = axes.plot(callers, [statistics.median(of) for of in rates], marker="o", label=f"batching {way}")
        low, high = [min(of) for of in rates], [max(of) for of in rates]
        axes.fill_between(callers, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
    axes.set_xscale("log", base=2)
    ticks = sorted({point["callers"] for point in curve})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("callers of one row, the LSTM behind Triton")
    axes.set_ylabel("calls/s")
    axes.legend(loc="upper left", frameon=False)
    chart.savefig(file, dpi=120, metadata={"Software": None})
    plt.close(chart)
