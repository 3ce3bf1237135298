"""What makes generated employees leave: two sets of effects, the second for proof only; no model was tuned on it.

In both the order of events matters: one event is felt only while another is remembered. All gates are smooth, so that
a hazard changes little where a cell does.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells
from exporters.data.workforce import Monthly, sigmoid

Logits = NDArray[np.float64]
"""float64[n, 2]: log-odds of leaving in months 1-3, and in months 4-6 of those still there."""
Effects = Callable[[Mapping[str, Monthly], Mapping[str, Cells]], Logits]
"""histories float64[n, 12], NaN before hiring; facts [n], complete -> the log-odds of leaving."""

_UNEASY = {
    "Customer Service": 0.125, "Finance": -0.125, "Human Resources": 0.0, "IT": 0.0, "Marketing": 0.075,
    "Operations": -0.075, "R&D": 0.2, "Sales": -0.2,
}  # fmt: skip
_PAY_SPREAD = 0.12


def first(histories: Mapping[str, Monthly], facts: Mapping[str, Cells]) -> Logits:
    """Recognition lost after a surge of overtime, overtime that lasts, low pay, no promotion, little training."""
    overtime, kudos = histories["monthly_overtime"], histories["monthly_kudos"]
    strain = felt(_above(overtime, 20.0, 4.0), _above(-kudos, -1.5, 0.5), memory=0.6, decay=0.8)
    lasting = _mean(_above(overtime, 15.0, 4.0)[:, 6:])
    fading = _mean(kudos[:, 6:]) - _mean(kudos[:, :6])
    waiting = np.clip((facts["months_since_promotion"] - 24.0) / 24.0, 0.0, 2.0)
    pay = (facts["pay_ratio"] - 1.0) / _PAY_SPREAD
    rooted = 0.01 * np.minimum(facts["tenure"], 60.0)
    taught = (np.nansum(histories["monthly_training"], axis=1) - 38.0) / 3.0
    uneasy = np.array([_UNEASY[name] for name in facts["department"].tolist()])
    soon = -3.2 + 2.6 * strain + 1.2 * lasting - 0.6 * pay + 0.5 * waiting - rooted + uneasy
    later = -2.9 + 1.0 * strain - 0.3 * np.nan_to_num(fading) + 1.0 * waiting - 0.5 * pay - 0.03 * taught - rooted
    return np.stack([soon, later], axis=1)


def second(histories: Mapping[str, Monthly], facts: Mapping[str, Cells]) -> Logits:
    """Goals missed after absences, big teams, work neither at home nor in the office, long hours, a low level."""
    absences, goals = histories["monthly_absences"], histories["monthly_goals_met"]
    setback = felt(_above(absences, 1.5, 0.3), _above(-goals, -0.55, 0.04), memory=0.5, decay=0.7)
    one_sided = 2.0 * np.abs(facts["remote_share"] - 0.5)
    crowd = (facts["team_size"] - 9.0) / 3.0
    hours = _mean(histories["monthly_hours"][:, -3:]) - 40.0
    falling = np.nan_to_num(_mean(goals[:, :6]) - _mean(goals[:, 6:]))
    soon = -2.6 + 2.4 * setback + 0.5 * crowd - 1.2 * one_sided + 0.08 * hours
    later = -2.6 + 1.0 * setback + 1.5 * (one_sided - 0.4) - 0.3 * (facts["level"] - 4.0) + 8.0 * falling
    return np.stack([soon, later], axis=1)


EFFECTS: dict[str, Effects] = {"first": first, "second": second}


def felt(cause: Monthly, blow: Monthly, *, memory: float, decay: float) -> NDArray[np.float64]:
    """What is felt at the end of a blow that came while its cause was remembered: 0 .. 1, float64[n].

    cause, blow: 0 .. 1 in each month, [n, T]. The blow is felt before the cause of the same month is remembered: cause
    then blow hurts, blow then cause does not. memory, decay: what a month keeps of the memory and of the feeling.
    """
    remembered, feeling = np.zeros(len(cause)), np.zeros(len(cause))
    for month in range(cause.shape[1]):
        feeling = decay * feeling + blow[:, month] * remembered
        remembered = np.maximum(memory * remembered, cause[:, month])
    return np.tanh(feeling)


def _above(values: Monthly, bound: float, width: float) -> Monthly:
    """How far beyond a bound: 0 .. 1, and 0 in a month before hiring."""
    return np.nan_to_num(sigmoid((values - bound) / width))


def _mean(values: Monthly) -> NDArray[np.float64]:
    """Mean of the months that are there, NaN where none is: float64[n]."""
    there = ~np.isnan(values)
    months = there.sum(axis=1)
    return np.where(there, values, 0.0).sum(axis=1) / np.where(months > 0, months, np.nan)
