"""How a model treats groups of people: who is selected, who is found, and whether probabilities mean the same for all.

Measured by fairlearn's `MetricFrame`. The attributes that make the groups are never inputs of the model.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.cards.outcomes import Outcome
from exporters.quality import calibration

COMPARED_ROWS = 200
"""Groups with fewer rows stand in the table and not in the differences: chance alone moves them."""
CALIBRATED_ROWS = 100 * calibration.BINS
"""From so many rows on the calibration error of a group is shown: 100 a bin."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class GroupFigures:
    """How one group fares. Shares are 0 .. 1, NaN where nobody is there to measure."""

    name: str
    rows: int
    predicted: float
    """Mean probability said."""
    observed: float
    """Share in which the event happened."""
    calibration_error: float
    by_chance: float
    """The error that would show in so many rows if the probabilities were right."""
    selected: float
    """Share that the label says it happens to."""
    found: float
    """True-positive rate: of those to whom it happened, the share that the label says it of."""


@dataclass(frozen=True)
class Comparison:
    """Groups of one attribute, by name, and how far apart those of `COMPARED_ROWS` or more are."""

    groups: tuple[GroupFigures, ...]
    selection_ratio: float
    """Demographic parity ratio: smallest selection rate by largest; NaN with fewer than two groups, or where nobody
    is selected."""
    opportunity_difference: float
    """Equal opportunity difference: largest true-positive rate minus smallest; NaN with fewer than two groups, or
    where it happened to nobody of one."""


def compare(outcome: Outcome, names: NDArray[np.str_]) -> Comparison:
    """Figures of each group. outcome: of n rows, with a label; names: str[n]. Raises ValueError without a label."""
    from fairlearn.metrics import MetricFrame, count, selection_rate

    metrics = {"rows": count, "selected": selection_rate, "found": _found, "observed": _observed}
    of_probability = {"predicted": _predicted, "calibration_error": _calibration_error, "by_chance": _by_chance}
    frame = MetricFrame(
        metrics={**metrics, **of_probability},
        y_true=outcome.happened.astype(np.int64),
        y_pred=outcome.labelled().astype(np.int64),
        sensitive_features=names,
        sample_params={name: {"probability": outcome.probability} for name in of_probability},
    )
    groups = tuple(
        GroupFigures(name=str(name), **{**figures, "rows": int(figures["rows"])})
        for name, figures in frame.by_group.to_dict("index").items()
    )
    large = [group for group in groups if group.rows >= COMPARED_ROWS and group.name != UNKNOWN]
    if len(large) < 2:
        return Comparison(groups, np.nan, np.nan)
    selected, found = (np.array([getattr(group, figure) for group in large]) for figure in ("selected", "found"))
    ratio = selected.min() / selected.max() if selected.max() > 0 else np.nan
    return Comparison(groups, float(ratio), float(found.max() - found.min()))


def _found(happened: NDArray[np.int64], selected: NDArray[np.int64]) -> float:
    from fairlearn.metrics import true_positive_rate

    return float(true_positive_rate(happened, selected, pos_label=1)) if np.any(happened) else np.nan


def _observed(happened: NDArray[np.int64], selected: NDArray[np.int64]) -> float:
    return float(np.mean(happened))


def _predicted(happened: NDArray[np.int64], selected: NDArray[np.int64], probability: NDArray[np.float32]) -> float:
    return float(np.mean(probability, dtype=np.float64))


def _calibration_error(
    happened: NDArray[np.int64], selected: NDArray[np.int64], probability: NDArray[np.float32]
) -> float:
    return np.nan if len(happened) < CALIBRATED_ROWS else calibration.reliability(probability, happened).error()


def _by_chance(happened: NDArray[np.int64], selected: NDArray[np.int64], probability: NDArray[np.float32]) -> float:
    return np.nan if len(happened) < CALIBRATED_ROWS else calibration.reliability(probability, happened).by_chance()
