"""Two panels over time: resident memory with the line through it, and p50 and p99 of each window."""

from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def draw(figures: Figures, file: Path) -> None:
    """Write a PNG; the same figures give the same bytes (no date, no software version in it)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    about, slope = figures["conditions"], figures["slope"]
    start, end = about["warmup"] / 60, (about["warmup"] + about["soak"]) / 60
    chart, (memory, latency) = plt.subplots(2, 1, figsize=(8, 5.6), layout="constrained", sharex=True)

    times, sizes = [when / 60 for when, _ in figures["memory"]], [kib / 1024 for _, kib in figures["memory"]]
    first = next((time for time in times if time >= start), start)
    line = [slope["start"] / 1024, (slope["start"] + slope["per_minute"] * (end - first)) / 1024]
    memory.plot(times, sizes, linewidth=1, label="resident")
    label = f"{slope['per_minute']:+.1f} KiB/min ({slope['low']:+.1f} to {slope['high']:+.1f})"
    memory.plot([first, end], line, color="tab:red", label=label)
    low, high = min([*sizes, *line]), max([*sizes, *line])
    room = max(0.1 * high, 1.4 * (high - low))
    memory.set_ylim((low + high - room) / 2, (low + high + room) / 2)
    memory.set_ylabel("MiB")
    memory.legend(loc="upper left", fontsize=9)

    middles = [(window["start"] + about["window"] / 2) / 60 for window in figures["windows"]]
    for name, label in (("p50_us", "p50"), ("p99_us", "p99")):
        latency.plot(middles, [window[name] / 1e3 for window in figures["windows"]], marker=".", label=label)
    latency.set_ylim(0)
    latency.set_ylabel(f"ms, by {about['window']:g} s")
    latency.set_xlabel("minutes (grey: warm-up, not counted)")
    latency.legend(loc="upper left", fontsize=9)
    for panel in (memory, latency):
        panel.axvspan(0, start, color="0.9")
        panel.grid(visible=True, alpha=0.25)
    latency.set_xlim(0, end)
    chart.savefig(file, dpi=120, metadata={"Software": None})
    plt.close(chart)
