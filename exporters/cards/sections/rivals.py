"""All candidates side by side, and whether any of them beats what is published."""

import numpy as np

from exporters.cards import comparison, markdown
from exporters.cards.outcomes import classes_of
from exporters.cards.summary import NO_OWNERS
from exporters.data.dataset import Dataset
from exporters.models.made import Made
from exporters.quality.intervals import DRAWS, Bootstrap

MONTH = "month"


def render(made: Made, dataset: Dataset, bootstrap: Bootstrap) -> str:
    """All candidates: figures with intervals, and differences to the published one."""
    lines = comparison.compare(made, bootstrap)
    figures = [figure.title for figure in lines[0].figures]
    table = markdown.table(
        ["", *figures],
        [[_name(line, made), *map(markdown.estimate, line.figures.values())] for line in lines],
    )
    differences = markdown.table(
        ["", *figures],
        [[line.name, *map(markdown.difference, line.differences.values())] for line in lines if line.differences],
    )
    parts = [
        f"## Quality on {len(made.held_out)} held-out rows",
        f"{_who(made, dataset)} In brackets: {_interval_note(made, dataset)}",
        table,
        "### Differences to the published model",
        "Candidate minus published, on the same draws: an interval that does not hold 0 is more than chance. For "
        "log loss (nats) less is better, for all else more.",
        differences,
        _verdict(lines, made),
        _best(made),
        markdown.bullets(made.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _who(made: Made, dataset: Dataset) -> str:
    """Whose rows these are, and of when."""
    whose = (
        "No one in these rows is in the training rows."
        if dataset.owners_known
        else f"None of these rows is a training row. {NO_OWNERS.en}"
    )
    if MONTH not in made.held_out.attributes:
        return whose
    months = np.unique(made.held_out.attributes[MONTH])
    others = np.setdiff1d(dataset.table.attributes[MONTH], months)
    later = ", later than all months trained on" if len(others) and others[-1] < months[0] else ""
    when = months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"
    return f"{whose} They are of {when}{later}."


def _interval_note(made: Made, dataset: Dataset) -> str:
    drawn = "people with all their rows" if dataset.owners_known else "rows, each by itself"
    return (
        f"95 % intervals from {DRAWS} draws of {len(np.unique(made.held_out.groups))} {drawn} (percentile bootstrap)."
    )


def _name(line: comparison.Line, made: Made) -> str:
    return f"**{line.name} (published)**" if line.name == made.published else line.name


def _verdict(lines: list[comparison.Line], made: Made) -> str:
    """Whether a rival wins by more than its interval."""
    won = [
        f"**{line.name} is better than what is published by more than the interval in: "
        f"{'; '.join(figure.title for figure in line.better())}.**"
        for line in lines
        if line.name != comparison.TRUE and line.better()
    ]
    return "\n\n".join(won) or f"No rival of {made.published} is better in any figure by more than its interval."


def _best(made: Made) -> str:
    best = comparison.best_possible(made)
    if not best:
        return ""
    figures = ", ".join(f"{name} {value:.3f}" for name, value in best.items())
    rules = (
        " The two are reached by different rules: the likeliest class for accuracy, weighted classes for macro-F1."
        if classes_of(made.contract)
        else ""
    )
    return (
        f"Best possible, to be expected of one who knows the true probabilities of the generator: {figures}. They "
        f"depend on complete months; the model sees records with gaps.{rules}"
    )
