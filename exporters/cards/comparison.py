"""The published model beside its rivals on the same held-out rows, with intervals and paired differences."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporters.cards.outcomes import Outcome, Said, classes_of, outcomes, true_probabilities
from exporters.data.table import Table
from exporters.models.made import Made
from exporters.quality import measures
from exporters.quality.intervals import Bootstrap, Draws, Interval
from exporters.quality.measures import Measure, Weights
from serving.contract import ClassOutput, Contract

TRUE = "true probabilities, same rows"
"""The row of one who knows how the data was generated, measured on the same rows as everyone else."""


@dataclass(frozen=True)
class Figure:
    """A figure of quality that the card compares."""

    title: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class Line:
    """One candidate: its figures, and how far each is from the published one's (positive: the candidate's is higher).

    Of the published one the differences are empty.
    """

    name: str
    figures: Mapping[Figure, Interval]
    differences: Mapping[Figure, Interval]

    def better(self) -> list[Figure]:
        """Figures in which it beats the published one by more than the interval of the difference."""
        return [f for f, d in self.differences.items() if (d.low > 0 if f.higher_is_better else d.high < 0)]


def compare(made: Made, bootstrap: Bootstrap) -> list[Line]:
    """A line for each candidate, in their order; then, where they are known, one for the true probabilities."""
    said: dict[str, Said] = dict(made.candidates)
    true = true_probabilities(made.contract, made.held_out)
    if true is not None:
        said[TRUE] = true
    drawn = {
        name: {
            figure: bootstrap.measure(measure)
            for figure, measure in _measures(made.contract, made.held_out, of_one).items()
        }
        for name, of_one in said.items()
    }
    return [
        Line(
            name,
            {figure: draws.interval() for figure, draws in figures.items()},
            {} if name == made.published else _differences(figures, drawn[made.published]),
        )
        for name, figures in drawn.items()
    ]


def best_possible(made: Made) -> dict[str, float]:
    """What is to be expected of one who knows the true probabilities: figure -> value; empty where nobody does."""
    true = made.held_out.true_probabilities
    if true is None:
        return {}
    if classes_of(made.contract):
        best = measures.best_possible(true)
        return {"macro-F1": best.macro_f1, "accuracy": best.accuracy}
    known = true_probabilities(made.contract, made.held_out) or {}
    return {
        f"AUC, {outcome.title.en}": measures.auc(outcome.probability, outcome.probability)
        for outcome in outcomes(made.contract, made.held_out, known)
    }


def _differences(figures: Mapping[Figure, Draws], published: Mapping[Figure, Draws]) -> dict[Figure, Interval]:
    return {figure: (draws - published[figure]).interval() for figure, draws in figures.items()}


def _measures(contract: Contract, held_out: Table, said: Said) -> dict[Figure, Measure]:
    classes, events = classes_of(contract), outcomes(contract, held_out, said)
    if classes:
        return _of_classes(classes, held_out, said, events)
    return {
        **{Figure(f"AUC, {o.title.en}"): measures.auc_measure(o.probability, o.happened) for o in events},
        **{
            Figure(f"log loss, {o.title.en}", False): measures.mean_measure(
                measures.log_losses(o.probability, o.happened)
            )
            for o in events
        },
    }


def _of_classes(classes: ClassOutput, held_out: Table, said: Said, events: list[Outcome]) -> dict[Figure, Measure]:
    truth, probabilities, count = held_out.target, said[classes.probabilities], len(classes.classes)
    predicted = probabilities.argmax(axis=1)

    def score(weights: Weights | None) -> measures.Score:
        return measures.score(measures.confusion(truth, predicted, count, weights))

    figures: dict[Figure, Measure] = {
        Figure("macro-F1"): lambda weights: score(weights).macro_f1,
        Figure("accuracy"): lambda weights: score(weights).accuracy,
    }
    if count == 2:
        figures[Figure("AUC")] = measures.auc_measure(events[0].probability, events[0].happened)
    figures[Figure("log loss", False)] = measures.mean_measure(measures.class_log_losses(probabilities, truth))
    return figures
