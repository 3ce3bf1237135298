"""The figures of public tables as Markdown: the tables of docs/models.md, and the part of a card about one of them."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from exporters.data import mapping as mappings
from exporters.data.dataset import Dataset, with_attributes
from exporters.errors import DataError
from exporters.progress import say
from exporters.public.algorithms import ENSEMBLE, PLAIN, REFERENCE
from exporters.public.cross_validation import FOLDS, SEEDS, Algorithm, Each, Figures, cross_validate
from exporters.public.tables import PublicTable

BEGIN, END = "<!-- public data: made by `make public-data` -->", "<!-- public data: end -->"
Results = Mapping[str, Mapping[str, Mapping[str, Figures]]]
"""Title of a variant -> algorithm -> score -> figures."""

METHOD = (
    f"{FOLDS}-fold stratified cross-validation with {len(SEEDS)} seeds: mean ± standard deviation over the seeds, "
    "[95 % interval]. The interval is that of the corrected resampled t-test (Nadeau and Bengio 2003), which allows "
    "for folds that share training rows. Features (ranges, categories) are fitted on the training part of each fold, "
    "by the same feature program that serves."
)
ALGORITHMS = (
    "Logistic regression and XGBoost (depth 3, 200 trees, learning rate 0.05, 0.8 of the rows and columns a tree) are "
    "untuned."
)
CHOICE = (
    "So is random forest (scikit-learn's defaults). The chosen ensemble is an average of up to six models from linear "
    "to deep; which ones, and how much of each, is chosen by 3-fold cross-validation inside the training part only "
    "(Caruana et al. 2004), for the first score of a table: it may find more of a rare grade and pay for that with "
    "accuracy. Its difference to the best of the other three is taken fold by fold, and is shown where its interval "
    "lies above 0. The ensemble says what the columns hold; `epm-export train --dataset` publishes a forest, as for "
    "any other table."
)
COMPARED = (
    "Protected attributes are never inputs of what is published, so the figures without them stand first. Figures of "
    "all columns are there to be compared with those of others: *reference* are those of the data's own README (as "
    "many folds and seeds, settings not all named), *publications* used other protocols."
)
COMMANDS = """\
    .venv/bin/epm-export train --dataset inx         # or ibm, hr: reads ../shared/data, publishes to local_repo/
    .venv/bin/epm serve --model-repo local_repo
    make public-data                                 # measures the figures below again: some minutes"""
_WIDTH = 124


def results(table: PublicTable, dataset: Dataset, algorithms: Mapping[str, Algorithm], each: Each = map) -> Results:
    """Figures of every variant of a table."""
    found = {}
    for variant in table.variants:
        found[variant.title] = cross_validate(
            with_attributes(dataset, variant.brought_back), algorithms, table.scores, each
        )
        means = {name: scores[table.scores[0]].mean for name, scores in found[variant.title].items()}
        best = max(means, key=means.__getitem__)
        say(f"{table.title}, {variant.title}: {table.scores[0]} {means[best]:.3f} by {best}")
    return found


def card_section(table: PublicTable, dataset: Dataset) -> str:
    """The card's part about what the quality depends on, Markdown."""
    found = results(table, dataset, REFERENCE)
    parts = ["## What the quality depends on", _paragraph(METHOD, ALGORITHMS), *_score_tables(table, found)]
    return "\n\n".join([*parts, _paragraph(table.remark)])


def page_section(tables: list[tuple[PublicTable, Results]]) -> str:
    """The section of docs/models.md, from its first marker to its last."""
    parts = [BEGIN, "## Public data", COMMANDS, _paragraph(COMPARED), _paragraph(METHOD, ALGORITHMS, CHOICE)]
    for table, found in tables:
        parts += [f"### {table.title}", _origin(table), *_score_tables(table, found), _paragraph(table.remark)]
    return "\n\n".join([*parts, END])


def replaced(page: str, section: str) -> str:
    """A page with `section` in the place of what stands between the markers. Raises DataError when they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"the page has no place for the figures: expected the lines {BEGIN} and {END}")
    return before + section + after


def cell(figures: Figures) -> str:
    """Mean, spread and interval as they stand in a table."""
    low, high = (figures.mean + sign * figures.half_width for sign in (-1, 1))
    return f"{figures.mean:.3f} ± {figures.spread:.3f} [{low:.3f}, {min(high, 1.0):.3f}]"


def _difference(figures: Figures) -> str:
    low, high = (figures.mean + sign * figures.half_width for sign in (-1, 1))
    return f"{figures.mean:+.3f} [{low:+.3f}, {high:+.3f}]{': shown' if low > 0 else ''}"


def _origin(table: PublicTable) -> str:
    mapping = mappings.load(Path(__file__).with_name(f"{table.name}.toml"))
    return f"`{table.file}`, sha256 `{mapping.sha256[:16]}`, `--dataset {table.name}` publishes `{table.model}`."


def _score_tables(table: PublicTable, found: Results) -> list[str]:
    return [_score_table(table, found, score) for score in table.scores]


def _score_table(table: PublicTable, found: Results, score: str) -> str:
    algorithms = list(found[table.variants[0].title])
    chosen = ENSEMBLE in algorithms
    others = ["ensemble minus the best of the three"] if chosen else []
    lines = [[f"**{score}**", *algorithms, *others]]
    for variant in table.variants:
        figures = {name: scores[score] for name, scores in found[variant.title].items()}
        line = [variant.title, *map(cell, figures.values())]
        if chosen:
            best = max((figures[name] for name in PLAIN), key=lambda one: one.mean)
            line.append(_difference(figures[ENSEMBLE].minus(best)))
        lines.append(line)
        if score in variant.reference:
            lines.append(_foreign(f"reference, {variant.title}", variant.reference[score], algorithms, others))
    if score in table.published:
        lines.append(_foreign("publications, all columns", table.published[score], algorithms, others))
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _foreign(title: str, figures: Mapping[str, str], algorithms: list[str], others: list[str]) -> list[str]:
    """A line of somebody else's figures, by algorithm."""
    return [f"*{title}*", *(figures.get(name, "") for name in algorithms), *("" for _ in others)]


def _paragraph(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), _WIDTH, break_on_hyphens=False, break_long_words=False)
