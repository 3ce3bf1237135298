"""What the figures of the published models have to keep to: all bounds stand here and nowhere else."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from exporters import recipes

ROWS = 20_000
"""Rows that the nearness of a published version is measured on, at least: below, chance alone shows an error."""
DIFFERENCE, LABELS = 1e-5, 0
"""Of every format: the largest difference of a number, and labels that differ."""


@dataclass(frozen=True)
class Near:
    """Bounds of nearness to the best possible: each output's."""

    calibration_error: float
    gap: float | None = None
    """Best possible AUC minus AUC; None where none is asked for."""


PUBLISHED = {recipes.PERFORMANCE: Near(0.02), recipes.ATTRITION: Near(0.02, gap=0.015)}
SECOND = Near(0.03, gap=0.03)


def broken(figures: dict[str, Any]) -> list[str]:
    """A sentence for each figure that is out of bounds, and for each model that has none."""
    published = {one["model"].split("/")[0]: one for one in figures["published"]}
    found = []
    for name, near in PUBLISHED.items():
        one = published.get(name)
        if one is None:
            found.append(f"{name}: no figures")
            continue
        found += _formats(one)
        found += _nearness(one["model"], one["nearness"], near)
        if one["nearness"]["rows"] < ROWS:
            found.append(f"{one['model']}: {one['nearness']['rows']} rows, at least {ROWS} are needed")
    second = figures["second"]
    return found + list(_nearness(second["model"], second["nearness"], SECOND))


def _formats(one: dict[str, Any]) -> Iterator[str]:
    for form in one["formats"]:
        where = f"{one['model']}, {form['format']}"
        yield from _above(f"{where}: largest difference", form["largest_difference"], DIFFERENCE)
        yield from _above(f"{where}: labels that differ", form["labels_that_differ"], LABELS)


def _nearness(model: str, nearness: dict[str, Any], near: Near) -> Iterator[str]:
    for output in nearness["outputs"]:
        where = f"{model}, {output['output']}"
        yield from _above(f"{where}: calibration error", output["calibration_error"], near.calibration_error)
        if near.gap is not None:
            yield from _above(f"{where}: AUC gap", output["gap"], near.gap)


def _above(what: str, figure: float, bound: float) -> Iterator[str]:
    if not figure <= bound:  # a NaN keeps to no bound
        yield f"{what} {figure:g}, at most {bound:g} is allowed"
