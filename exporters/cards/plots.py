"""The card's pictures. The same figures give the same bytes: no time, no version, no font but matplotlib's own.

Texts are English: the fonts that come with matplotlib have no Chinese.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from exporters.cards.outcomes import Decisions
from exporters.quality.calibration import Reliability

DOTS = 100
"""Pixels an inch; sizes below are in inches."""


def reliability(curves: Mapping[str, Reliability]) -> bytes:
    """PNG: what happened against what was said, a line an outcome, with the 95 % intervals of the shares."""
    with _picture(6.4, 4.8) as (axes, png):
        top = max(max(curve.predicted.max(), curve.bounds()[1].max()) for curve in curves.values())
        axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--", label="perfectly calibrated")
        for title, curve in curves.items():
            low, high = curve.bounds()
            bars = [(curve.observed - low).clip(0), (high - curve.observed).clip(0)]
            axes.errorbar(curve.predicted, curve.observed, bars, marker="o", markersize=4, capsize=2, label=title)
        axes.set(xlabel="probability said (mean of the bin)", ylabel="share in which it happened")
        axes.set(xlim=(0, min(1, 1.05 * top)), ylim=(0, min(1, 1.05 * top)))
        axes.legend(loc="upper left", frameon=False)
    return png.getvalue()


def confusion(decisions: Decisions) -> bytes:
    """PNG: share of each true class that got each label, with the counts."""
    counts = decisions.counts
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    with _picture(1.6 + 1.3 * len(decisions.labels), 1.2 + 0.9 * len(decisions.truths)) as (axes, png):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            text = f"{share:.2f}\n({counts[row, column]:.0f})"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black")
        axes.set_xticks(range(len(decisions.labels)), decisions.labels)
        axes.set_yticks(range(len(decisions.truths)), decisions.truths)
        axes.set(xlabel="label", ylabel="truth")
    return png.getvalue()


def learning_curve(curve: tuple[tuple[int, float], ...], score: str) -> bytes:
    """PNG: the score on held-out rows against the number of rows trained on."""
    with _picture(6.4, 3.6) as (axes, png):
        rows, scores = zip(*curve, strict=True)
        axes.plot(rows, scores, marker="o")
        axes.set(xlabel="rows trained on", ylabel=f"{score} on held-out rows", xlim=(0, 1.05 * max(rows)))
        axes.grid(color="0.9")
    return png.getvalue()


@contextmanager
def _picture(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """Axes to draw on, and where the PNG lies afterwards; nobody's matplotlibrc has a say."""
    from matplotlib import rc_context, style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context("default"), rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(width, height), dpi=DOTS, layout="constrained")
        canvas, png = FigureCanvasAgg(figure), io.BytesIO()
        yield figure.subplots(), png
        canvas.print_png(png, metadata={"Software": None})
