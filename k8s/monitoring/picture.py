"""A dashboard as a picture: its panels where Grafana puts them, with what Prometheus gave to their queries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s.monitoring.dashboards.reading import Shown
from k8s.monitoring.units import written

INCHES = (0.72, 0.36)
"""Of one column, and of one line of a dashboard."""
TOP = 0.75
"""Inches above the first panel."""
COLORS = (
    "#4c78a8",
    "#f58518",
    "#54a24b",
    "#e45756",
    "#72b7b2",
    "#b279a2",
    "#ff9da6",
    "#9d755d",
    "#bab0ac",
    "#eeca3b",
    "#2f6f6f",
    "#7b4173",
)
NAMED = {"green": "#2e8b3d", "orange": "#e08400", "red": "#c4162a", "blue": "#3a6ea5"}
SMALL = 7.5


@dataclass(frozen=True)
class Line:
    """A series under the name that the legend gives it; points: (seconds since the picture's begin, value)."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Event:
    """What happened to everything from one second to another."""

    name: str
    start: float
    end: float


def draw(
    shown: Sequence[Shown], lines: Mapping[str, Sequence[Line]], events: Sequence[Event], seconds: float, file: Path
) -> None:
    """Write a PNG of a dashboard's panels. lines: by the title of the panel."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    height = max(panel.at[1] + panel.size[1] for panel in shown)
    inches = (24 * INCHES[0], height * INCHES[1] + TOP)
    figure = plt.figure(figsize=inches, facecolor="#f2f3f5")
    figure.text(0.008, 1 - 0.3 / inches[1], shown[0].board, fontsize=15, fontweight="bold", va="center")
    told = "; ".join(f"{event.name} {_clock(event.start)} to {_clock(event.end)}" for event in events)
    figure.text(0.992, 1 - 0.3 / inches[1], f"grey: {told}", fontsize=9, color="0.35", va="center", ha="right")
    for panel in shown:
        place = _Place(figure, panel, inches)
        if panel.kind == "row":
            place.heading()
        elif panel.kind == "stat":
            place.numbers(lines[panel.title])
        else:
            place.lines(lines[panel.title], events, seconds)
    figure.savefig(file, dpi=80, metadata={"Software": None})
    plt.close(figure)


class _Place:
    """The rectangle of one panel, in inches from the left and the top."""

    def __init__(self, figure: Any, panel: Shown, inches: tuple[float, float]) -> None:
        self.figure, self.panel, self._inches = figure, panel, inches
        self._left, self._top = panel.at[0] * INCHES[0], panel.at[1] * INCHES[1] + TOP
        self._width, self._height = panel.size[0] * INCHES[0], panel.size[1] * INCHES[1]

    def heading(self) -> None:
        """Of a row."""
        self._text(0.12, self._height / 2 + 0.03, self.panel.title, fontsize=11, fontweight="bold", color="0.25")

    def numbers(self, lines: Sequence[Line]) -> None:
        """The newest value of each series, and its name."""
        self._frame()
        columns = 1 if len(lines) < 4 else 2
        deep = math.ceil(len(lines) / columns)
        for number, line in enumerate(lines):
            value = line.points[-1][1]
            x = self._width * (number % columns + 0.5) / columns
            y = 0.35 + (self._height - 0.45) * (number // columns + 0.5) / deep
            size = min(22, 68 * (self._height - 0.45) / deep / 2.4)
            text = written(value, self.panel.unit)
            self._text(x, y - 0.08, text, fontsize=size, fontweight="bold", color=self._color(value), ha="center")
            self._text(x, y + size / 72 * 0.72 + 0.04, line.name, fontsize=8, color="0.3", ha="center")

    def lines(self, lines: Sequence[Line], events: Sequence[Event], seconds: float) -> None:
        """All series over time, the legend below them."""
        self._frame()
        rows = self._legend(lines)
        left, bottom = 0.72, 0.34 + 0.16 * rows
        axes = self._axes(left, 0.36, self._width - left - 0.15, self._height - 0.36 - bottom)
        for event in events:
            axes.axvspan(event.start, event.end, color="0.93", linewidth=0)
        if self.panel.stacked:
            self._stack(axes, lines, seconds)
        else:
            for number, line in enumerate(lines):
                axes.plot(range(int(seconds) + 1), _steps(line, seconds), color=_of(number), linewidth=1.3)
        self._finish(axes, seconds)

    def _stack(self, axes: Any, lines: Sequence[Line], seconds: float) -> None:
        times = range(int(seconds) + 1)
        values = [[found if math.isfinite(found) else 0.0 for found in _steps(line, seconds)] for line in lines]
        colors = [_of(number) for number in range(len(lines))]
        axes.stackplot(times, values, colors=colors, alpha=0.55, linewidth=0)
        below = [0.0] * len(times)
        for color, row in zip(colors, values, strict=True):
            below = [one + other for one, other in zip(below, row, strict=True)]
            axes.plot(times, below, color=color, linewidth=0.8)

    def _finish(self, axes: Any, seconds: float) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

        halves = self.panel.unit == "bytes"
        if self.panel.logarithmic:
            axes.set_yscale("log", base=2 if halves else 10)
            axes.minorticks_off()
        else:
            high = self.panel.most or 1.05 * axes.dataLim.ymax or 1.0
            axes.set_ylim(-0.015 * high, high)
            axes.yaxis.set_major_locator(MultipleLocator(2 ** round(math.log2(high / 4))) if halves else MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, self.panel.unit)))
        axes.xaxis.set_major_locator(MultipleLocator(30))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _clock(value)))
        axes.set_xlim(0, seconds)
        axes.tick_params(labelsize=SMALL, length=2, color="0.6", labelcolor="0.3")
        axes.grid(visible=True, alpha=0.25, linewidth=0.6)
        for side in axes.spines.values():
            side.set_visible(False)

    def _legend(self, lines: Sequence[Line]) -> int:
        """Names beside their colours, in as many rows as they need; how many."""
        x, row, places = 0.2, 0, []
        for line in lines:
            wide = 0.22 + 0.062 * len(line.name)
            if x + wide > self._width - 0.1 and x > 0.2:
                x, row = 0.2, row + 1
            places.append((x, row))
            x += wide + 0.08
        last = min(row, 3)
        for number, ((x, at), line) in enumerate(zip(places, lines, strict=True)):
            if at <= last:
                y = self._height - 0.16 - 0.16 * (last - at)
                self._text(x, y, "■", fontsize=SMALL, color=_of(number))
                self._text(x + 0.13, y, line.name, fontsize=SMALL, color="0.25")
        return last + 1

    def _frame(self) -> None:
        from matplotlib.patches import Rectangle

        gap = 0.05
        box = self._box(gap, gap, self._width - 2 * gap, self._height - 2 * gap)
        whole = self.figure.transFigure
        edge = {"facecolor": "white", "edgecolor": "0.85", "zorder": -1}
        self.figure.add_artist(Rectangle(box[:2], *box[2:], transform=whole, **edge))
        self._text(0.16, 0.21, self.panel.title, fontsize=9, fontweight="bold", color="0.15")

    def _color(self, value: float) -> str:
        found = [color for start, color in self.panel.steps if start is None or value >= start]
        return NAMED.get(found[-1], "0.2") if found else "0.2"

    def _box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Of the figure, from inches within the panel, y downwards."""
        whole = self._inches
        return (
            (self._left + x) / whole[0],
            1 - (self._top + y + height) / whole[1],
            width / whole[0],
            height / whole[1],
        )

    def _axes(self, x: float, y: float, width: float, height: float) -> Any:
        return self.figure.add_axes(self._box(x, y, width, height))

    def _text(self, x: float, y: float, text: str, **how: Any) -> None:
        self.figure.text(*self._box(x, y, 0, 0)[:2], text, va="center", **how)


def _of(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _steps(line: Line, seconds: float) -> list[float]:
    """Second by second, NaN where there is no value."""
    found = {round(when): value for when, value in line.points}
    return [found.get(when, math.nan) for when in range(int(seconds) + 1)]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
