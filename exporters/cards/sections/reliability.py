"""Does it happen as often as the model says, for each outcome."""

import numpy as np

from exporters.cards import markdown
from exporters.cards.outcomes import Outcome, outcomes
from exporters.models.made import Made
from exporters.quality import calibration, measures
from exporters.quality.calibration import Reliability


def render(made: Made) -> str:
    """A line of figures for each outcome, the plot, and the bins."""
    events = outcomes(made.contract, made.held_out, made.candidates[made.published])
    curves = [calibration.reliability(event.probability, event.happened) for event in events]
    summary = markdown.table(
        ["outcome", "said, mean", "happened", "calibration error", "by chance alone", "Brier score", "log loss"],
        [_figures(event, curve) for event, curve in zip(events, curves, strict=True)],
    )
    bins = markdown.table(
        ["bin", *(f"{event.title.en}: {what}" for event in events for what in ("said", "happened"))],
        [_bin(number, curves) for number in range(max(len(curve.rows) for curve in curves))],
    )
    return (
        "## Calibration\n\nWhether things happen as often as the model says. Rows are put into "
        f"{calibration.BINS} bins of equal mass by what was said; the calibration error is the mean distance of what "
        'was said from what happened. A perfectly calibrated model would show the error named under "by chance '
        f'alone".\n\n{summary}\n\n![Reliability](reliability.png)\n\n{bins}'
    )


def _figures(event: Outcome, curve: Reliability) -> list[str]:
    p, y = event.probability, event.happened
    said, happened = float(np.mean(p, dtype=np.float64)), float(y.mean())
    figures = said, happened, curve.error(), curve.by_chance(), measures.brier(p, y), measures.log_losses(p, y).mean()
    return [event.title.en, *map(markdown.share, figures)]


def _bin(number: int, curves: list[Reliability]) -> list[str]:
    """A row of the table; a curve may have fewer bins than others."""
    cells = [str(number + 1)]
    for curve in curves:
        there = number < len(curve.rows)
        cells += [
            markdown.share(float(values[number])) if there else "-" for values in (curve.predicted, curve.observed)
        ]
    return cells
