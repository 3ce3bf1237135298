"""The card of a version: what it is, how good it is and for whom, and what it must not be used for.

The same model gives the same text and pictures: nothing here depends on the time or the machine's name.
"""

import math
from dataclasses import dataclass

import numpy as np

from exporters.cards import markdown, plots, summary
from exporters.cards.outcomes import classes_of, decisions, outcomes
from exporters.cards.sections import decision, group_figures, learning_curve, reliability, rivals
from exporters.data.dataset import Dataset
from exporters.formats import parity
from exporters.models.made import Made
from exporters.quality import calibration
from exporters.quality.intervals import Bootstrap
from serving.contract import CategoryInput, Contract, HistoryInput, NumberInput, RawInput

NAME = "card.md"


@dataclass(frozen=True)
class Card:
    """text: Markdown. images: PNG by the name under which the text shows them."""

    text: str
    images: dict[str, bytes]

    def files(self) -> dict[str, bytes]:
        """Path relative to the version -> bytes."""
        return {NAME: self.text.encode(), **self.images}


def render(made: Made, dataset: Dataset, agreements: list[parity.Agreement], extra: str = "") -> Card:
    """extra: sections that only this dataset has, placed before the inputs."""
    contract = made.contract
    bootstrap = Bootstrap(made.held_out.groups, contract.provenance.seed)
    parts = [
        f"# {contract.model}: {contract.title.en} · {contract.title.zh}",
        summary.for_managers(made, dataset),
        _what_it_is(made, dataset),
        _rules(made),
        rivals.render(made, dataset, bootstrap),
        reliability.render(made),
        decision.render(made, bootstrap),
        learning_curve.render(made, dataset),
        group_figures.render(made, dataset, bootstrap),
        extra,
        _inputs(contract),
        _left_out(contract),
        _exports(agreements),
        _limits(made, dataset),
        _origin(contract),
    ]
    return Card("\n\n".join(part.strip("\n") for part in parts if part) + "\n", _images(made))


def _images(made: Made) -> dict[str, bytes]:
    said = made.candidates[made.published]
    curves = {
        event.title.en: calibration.reliability(event.probability, event.happened)
        for event in outcomes(made.contract, made.held_out, said)
    }
    images = {"reliability.png": plots.reliability(curves)}
    found = decisions(made.contract, made.held_out, said)
    if found:
        images["confusion.png"] = plots.confusion(found)
    if made.curve:
        images["learning_curve.png"] = plots.learning_curve(made.curve, made.curve_score)
    return images


def _what_it_is(made: Made, dataset: Dataset) -> str:
    contract, program = made.contract, made.contract.program
    window = f", {contract.months} months of {len(program.window)} values" if program.window else ""
    return (
        f"## What it is\n\n{contract.provenance.algorithm}: {len(contract.inputs)} raw inputs, "
        f"{len(program.features)} features{window}.\n\nData: {dataset.description}."
    )


def _rules(made: Made) -> str:
    rules = summary.rules(made)
    return (
        "## Rules of use · 使用规则\n\n"
        + markdown.bullets(rule.en for rule in rules)
        + "\n\n"
        + markdown.bullets(rule.zh for rule in rules)
    )


def _inputs(contract: Contract) -> str:
    required = [raw for raw in contract.inputs if raw.required]
    total = sum(raw.weight for raw in contract.inputs)
    table = markdown.table(
        ["input", "", "", "read as", "weight"],
        [
            [f"`{raw.name}`", raw.title.en, raw.title.zh, _read_as(raw, contract), f"{raw.weight / total:.3f}"]
            for raw in contract.inputs
        ],
    )
    alone = ""
    if required:
        names = " and ".join(f"`{raw.name}`" for raw in required)
        share = sum(raw.weight for raw in required) / total
        alone = (
            f"\n\nA request with {names} alone has coverage {share:.2f}; below {contract.min_coverage:g} an answer "
            "is marked `low_coverage`."
        )
    return f"## Inputs and their weight in the coverage\n\n{table}{alone}"


def _read_as(raw: RawInput, contract: Contract) -> str:
    if isinstance(raw, HistoryInput):
        return f"{contract.months} months, {raw.unit}"
    if isinstance(raw, NumberInput):
        return raw.unit or "number"
    return f"{len(raw.categories)} names" if isinstance(raw, CategoryInput) else "text"


def _left_out(contract: Contract) -> str:
    lines = [f"`{item.name}`: {item.reason}" for item in contract.left_out]
    return "## Left out\n\nIn the data, deliberately no input:\n\n" + markdown.bullets(lines or ["nothing"])


def _exports(agreements: list[parity.Agreement]) -> str:
    table = markdown.table(
        ["export", "rows", "outputs differ by less than", "labels that differ"],
        [[a.name, str(a.rows), _bound(a.difference), str(a.ties)] for a in agreements],
    )
    return (
        "## Exports against the trained model\n\nHeld-out rows, every second one with missing values, extremes or "
        f"categories never seen; allowed {parity.TOLERANCE:g}. A label may differ only where the two best classes, or "
        f"a probability and its threshold, are no further apart than that.\n\n{table}"
    )


def _limits(made: Made, dataset: Dataset) -> str:
    contract, lines = made.contract, []
    if dataset.synthetic:
        lines.append(
            "The data is synthetic: the figures say that training, export and serving work, nothing about any company."
        )
    if classes_of(contract):
        lines.append(
            "It says what was decided in the past, not what people are worth: whatever was unfair in it, it repeats."
        )
    else:
        lines.append(
            "It repeats what happened in the past: after a reorganisation, a change of pay or a crisis, its "
            "probabilities and its threshold have to be checked anew."
        )
    lines += [
        f"It never said {name} on the held-out rows: it cannot tell {name} from the rest." for name in _never(made)
    ]
    lines += [
        "Inputs that are allowed can stand in for those that are left out (tenure for age, for example).",
        "Values beyond those seen in training are treated as the nearest one seen, and the answer carries a warning.",
        f"With less than {contract.min_coverage:.0%} of the weight given, the answer says little about that person.",
        "Probabilities are calibrated on data like that named here and on no other.",
    ]
    return "## Limits\n\n" + markdown.bullets(lines)


def _never(made: Made) -> list[str]:
    """Labels that no held-out row got."""
    found = decisions(made.contract, made.held_out, made.candidates[made.published])
    if found is None:
        return []
    return [name for name, count in zip(found.labels, found.counts.sum(axis=0).tolist(), strict=True) if not count]


def _origin(contract: Contract) -> str:
    origin = contract.provenance
    versions = ", ".join(f"{name} {number}" for name, number in origin.versions.items())
    lines = [
        f"data: {'synthetic' if origin.synthetic else 'not synthetic'}, sha256 `{origin.data_sha256}`",
        f"training rows: {origin.rows}",
        *([f"training features: sha256 `{origin.features_sha256}`"] if origin.features_sha256 else []),
        f"seed: {origin.seed}",
        f"code: epm-serving {origin.code}",
        f"versions: {versions}",
    ]
    return "## Origin\n\n" + markdown.bullets(lines)


def _bound(difference: float) -> str:
    """The next power of ten: the last digits of a difference are nobody's business and change with the machine."""
    return "0" if difference == 0 else f"1e{math.floor(np.log10(difference)) + 1}"
