"""Selection, true-positive rate and calibration of each group of people, and how far groups are apart."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from exporters.cards import groups, markdown
from exporters.cards.groups import GroupFigures
from exporters.cards.outcomes import Outcome, outcomes
from exporters.data.dataset import Dataset, group_names
from exporters.models.made import Made
from exporters.quality.intervals import Bootstrap

_HEAD = (
    "group",
    "rows",
    "selected",
    "true-positive rate",
    "said, mean",
    "happened",
    "calibration error",
    "by chance alone",
)
_EXPLAINED = (
    "These attributes are no input; the figures show what the model does all the same. Selected: share whom the "
    "label says it of. True-positive rate: of those to whom it happens, the share that the label says it of. Both "
    "with 95 % intervals as above. The calibration error, and what chance alone would show, stand from "
    f"{groups.CALIBRATED_ROWS} rows on. The ratio of selection rates (smallest by largest: demographic parity; below "
    "0.8 is commonly asked about) and the difference of true-positive rates (equal opportunity) are taken between "
    f"groups of {groups.COMPARED_ROWS} rows or more. Measured with fairlearn."
)


def render(made: Made, dataset: Dataset, bootstrap: Bootstrap) -> str:
    """Empty where the data has no groups or the model decides nothing."""
    events = _judged(made)
    if not dataset.groups or not events:
        return ""
    return "\n\n".join(["## By group", _EXPLAINED, *(_of_event(event, made, dataset, bootstrap) for event in events)])


def _of_event(event: Outcome, made: Made, dataset: Dataset, bootstrap: Bootstrap) -> str:
    rows, apart = [], []
    for attribute, bands in dataset.groups.items():
        names = group_names(made.held_out.attributes[attribute], bands)
        compared = groups.compare(event, names)
        ordered = sorted(compared.groups, key=lambda group: _band_order(group.name)) if bands else compared.groups
        rows += [_line(attribute, group, event, names == group.name, bootstrap) for group in ordered]
        figures = compared.selection_ratio, compared.opportunity_difference
        apart.append([attribute, *map(markdown.share, figures)])
    between = markdown.table(["between groups of", "ratio of selection", "difference of true-positive rates"], apart)
    return f"### {event.title.en}\n\n{markdown.table(_HEAD, rows)}\n\n{between}"


def _line(
    attribute: str, group: GroupFigures, event: Outcome, members: NDArray[np.bool_], bootstrap: Bootstrap
) -> list[str]:
    """The shares that labels make with their intervals: small groups move by chance."""
    selected = bootstrap.share(event.labelled(), members).interval()
    found = bootstrap.share(event.labelled(), members & event.happened).interval()
    shares = replace(selected, value=group.selected), replace(found, value=group.found)
    figures = group.predicted, group.observed, group.calibration_error, group.by_chance
    return [
        f"{attribute} {group.name}",
        str(group.rows),
        *map(markdown.estimate, shares),
        *map(markdown.share, figures),
    ]


def _judged(made: Made) -> list[Outcome]:
    """The outcomes whose label matters to people: the first and the last class, or what the threshold decides on."""
    said = made.candidates[made.published]
    events = [event for event in outcomes(made.contract, made.held_out, said) if event.selected is not None]
    return events[:1] if len(events) <= 2 else [events[0], events[-1]]


def _band_order(name: str) -> tuple[bool, bool, float]:
    """Bands from the lowest up, those of unknown value last."""
    unknown = name == groups.UNKNOWN
    return unknown, not name.startswith("<"), 0.0 if unknown else float(name.split()[-1])
