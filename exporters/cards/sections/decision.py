"""What the labels get right and wrong; of a threshold also what it means, and what others would give."""

import numpy as np
from numpy.typing import NDArray

from exporters.cards import markdown
from exporters.cards.outcomes import Decisions, Outcome, classes_of, deciding, decisions, outcomes
from exporters.models.made import Made
from exporters.quality import measures
from exporters.quality.intervals import Bootstrap
from serving.contract import ProbabilityOutput

SHARES = (0.05, 0.1, 0.2, 0.3)
"""Shares of people flagged that stand beside the published threshold."""


def render(made: Made, bootstrap: Bootstrap) -> str:
    """Empty for a model that decides nothing."""
    found = decisions(made.contract, made.held_out, made.candidates[made.published])
    if found is None:
        return ""
    output = deciding(made.contract)
    head = "## Confusion" if output is None else f"{_threshold(made, output, bootstrap)}\n\n### Confusion"
    return f"{head}\n\n{_table(found, of_classes=classes_of(made.contract) is not None)}\n\n![Confusion](confusion.png)"


def _table(found: Decisions, *, of_classes: bool) -> str:
    rows = found.counts.sum(axis=1, keepdims=True)
    shares = found.counts / np.where(rows > 0, rows, np.nan)
    hits = np.diag(shares) if of_classes else shares[:, 0]
    return markdown.table(
        ["truth \\ label", *found.labels, "recall" if of_classes else f"share {found.labels[0]}"],
        [
            [name, *(f"{n:.0f}" for n in row), markdown.share(float(hit))]
            for name, row, hit in zip(found.truths, found.counts, hits, strict=True)
        ],
    )


def _threshold(made: Made, output: ProbabilityOutput, bootstrap: Bootstrap) -> str:
    said = made.candidates[made.published]
    event = next(event for event in outcomes(made.contract, made.held_out, said) if event.selected is not None)
    flagged, right, found = (bootstrap.share(*pair).interval() for pair in _shares(event, event.labelled()))
    threshold = output.threshold or 0.0
    rows = [_line(f"**{threshold:.3f} (published)**", event, event.labelled())]
    for share in SHARES:
        bound = float(np.quantile(event.probability, 1 - share))
        rows.append(_line(f"{bound:.3f} (the likeliest {share:.0%})", event, event.probability >= bound))
    return (
        f'## What the threshold means\n\nA person is flagged (`label` 1) where the probability of "{event.title.en}" '
        f"is at or above {threshold:.6g}: a share of {markdown.estimate(flagged)} of all rows. Of 100 rows flagged it "
        f"came true in {markdown.of_100(right)} (precision), against {100 * event.happened.mean():.0f} of 100 rows "
        f"picked by lot. Of 100 rows in which it came true, {markdown.of_100(found)} were flagged (recall).\n\n"
        + markdown.table(["threshold", "share flagged", "precision", "recall"], rows)
    )


def _line(name: str, event: Outcome, chosen: NDArray[np.bool_]) -> list[str]:
    return [name, *(markdown.share(measures.share(*pair)) for pair in _shares(event, chosen))]


def _shares(event: Outcome, chosen: NDArray[np.bool_]) -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...]:
    """What and among which rows: share chosen, precision, recall."""
    return (chosen, np.ones(len(chosen), bool)), (event.happened, chosen), (chosen, event.happened)
