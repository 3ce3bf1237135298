"""Latency against load: one panel for each kind of call, a line for each percentile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Curves = Mapping[str, Sequence[Mapping[str, Any]]]
"""Kind of call -> steps as `Step.as_dict` gives them, by rising rate."""
LINES = (("p50_us", "p50", "tab:blue"), ("p99_us", "p99", "tab:orange"), ("p999_us", "p99.9", "tab:red"))
_MOST_ACROSS = 2


def draw(curves: Curves, bound_ms: float, file: Path) -> None:
    """Write a PNG; the same curves give the same bytes (no date, no software version in it)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    across = min(len(curves), _MOST_ACROSS)
    down = -(-len(curves) // across)
    chart, panels = plt.subplots(
        down, across, figsize=(4.6 * across, 0.4 + 3 * down), layout="constrained", sharey=True, squeeze=False
    )
    for number, panel in enumerate(panels.flat):
        if number >= len(curves):
            panel.axis("off")
            continue
        kind, steps = list(curves.items())[number]
        rates = [step["rate"] for step in steps]
        for name, label, colour in LINES:
            panel.plot(rates, [step[name] / 1e3 for step in steps], color=colour, label=label, marker="o", markersize=3)
        panel.axhline(bound_ms, color="grey", linewidth=1, linestyle="--")
        capacity = next((step["rate"] for step in steps if step["share"] == 1), None)
        if capacity is not None:
            panel.axvline(capacity, color="grey", linewidth=1, linestyle=":")
        panel.set_yscale("log")
        panel.set_xlim(0)
        panel.set_title(kind, fontsize=10)
        panel.set_xlabel("calls due a second (dotted: capacity)", fontsize=9)
        panel.grid(visible=True, alpha=0.25)
    for row in panels:
        row[0].set_ylabel("ms from when due (dashed: bound)", fontsize=9)
    panels[0][0].legend(loc="upper left", fontsize=9)
    chart.savefig(file, dpi=120, metadata={"Software": None})
    plt.close(chart)
