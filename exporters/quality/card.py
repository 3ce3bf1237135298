"""The card of a version: what it is, how good it is and for whom, and what it must not be used for.

The same model gives the same text: nothing here depends on the time or the machine's name.
"""

import math

import numpy as np

from exporters.data.dataset import Dataset, group_names
from exporters.formats import parity
from exporters.models.training import COMMONEST, Made
from exporters.quality import measures
from serving.contract import Contract


def render(made: Made, dataset: Dataset, agreements: list[parity.Agreement], extra: str = "") -> str:
    """Markdown. extra: sections that only this dataset has, placed before the limits."""
    contract = made.contract
    parts = [
        f"# {contract.model}: {contract.title.en} · {contract.title.zh}",
        _for_managers(made, dataset),
        _what_it_is(contract, dataset),
        _quality(made),
        _confusion(made),
        _groups(made, dataset),
        extra,
        _inputs(contract),
        _exports(agreements),
        _limits(made, dataset),
        _origin(contract),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _for_managers(made: Made, dataset: Dataset) -> str:
    grades = made.held_out.classes
    hits = round(made.scores[made.trained.algorithm.name].accuracy * 100)
    guessed = round(made.scores[COMMONEST].accuracy * 100)
    warn = "Trained on synthetic (invented) data: do not judge real people by it. " if dataset.synthetic else ""
    warn_zh = "本模型用合成（虚构）数据训练，不得用于评价真实员工。" if dataset.synthetic else ""
    return (
        f"**For managers.** {warn}Suggests one of the grades {', '.join(grades)} from records of work. Among people "
        f"it has not seen it is right in {hits} of 100 cases; always saying the commonest grade would be right in "
        f"{guessed}. It suggests, a person decides: ask for the reasons, and look twice where an answer is marked "
        "`low_coverage`.\n\n"
        f"**管理者摘要。**{warn_zh}根据工作记录建议等级（{'、'.join(grades)}）。对未参与训练的人员，"
        f"每 100 例约 {hits} 例正确；若一律给出最常见等级，则约 {guessed} 例正确。"
        "模型只提建议，由人作决定；标有 `low_coverage`（输入不足）的结果请谨慎对待。"
    )


def _what_it_is(contract: Contract, dataset: Dataset) -> str:
    left = "\n".join(f"- `{item.name}`: {item.reason}" for item in contract.left_out)
    return (
        f"## What it is\n\n{contract.provenance.algorithm}, {len(contract.inputs)} raw inputs, "
        f"{len(contract.program.features)} features. Data: {dataset.description}.\n\n"
        "In the data, deliberately no input:\n\n" + (left or "- nothing")
    )


def _quality(made: Made) -> str:
    published = made.trained.algorithm.name
    rows = [
        (f"**{name} (published)**" if name == published else name, score)
        for name, score in sorted(made.scores.items(), key=lambda item: -item[1].macro_f1)
    ]
    note = ""
    if made.held_out.true_probabilities is not None:
        rows.append(("best possible", measures.best_possible(made.held_out.true_probabilities)))
        note = (
            "\n\nBest possible: expected of one who knows the true probabilities of the generator, which depend on "
            "twelve complete months and their order; the model sees one row with gaps. The two figures are reached by "
            "different rules: the likeliest class for accuracy, weighted classes for macro-F1."
        )
    lines = "\n".join(f"| {name} | {score.accuracy:.3f} | {score.macro_f1:.3f} |" for name, score in rows)
    count = len(made.held_out)
    return (
        f"## Quality on {count} held-out rows\n\nNo one in these rows is in the training rows. The better of the two "
        "forests by this macro-F1 is published, so its figure is slightly flattered.\n\n"
        f"| | accuracy | macro-F1 |\n|---|---|---|\n{lines}{note}"
    )


def _confusion(made: Made) -> str:
    classes = made.held_out.classes
    matrix = measures.confusion(made.held_out.target, made.predicted, len(classes))
    head = "| truth \\ predicted | " + " | ".join(classes) + " | recall |\n|---|" + "---|" * (len(classes) + 1)
    lines = [
        f"| {name} | " + " | ".join(f"{n:.0f}" for n in row) + f" | {_share(row[c] / row.sum())} |"
        for c, (name, row) in enumerate(zip(classes, matrix, strict=True))
    ]
    return "### Confusion\n\n" + "\n".join([head, *lines])


def _groups(made: Made, dataset: Dataset) -> str:
    if not dataset.groups:
        return ""
    best = made.held_out.classes[0]
    head = (
        f"| group | rows | truly {best} | selected as {best} | recall of {best} | accuracy |\n|---|---|---|---|---|---|"
    )
    lines = []
    for attribute, bands in dataset.groups.items():
        names = group_names(made.held_out.attributes[attribute], bands)
        figures = measures.by_group(made.held_out.target, made.predicted, names)
        figures.sort(key=lambda group: bands and _band_order(group.name))
        lines += [
            f"| {attribute} {group.name} | {group.rows} | {_share(group.truly_best)} | {_share(group.selected)} "
            f"| {_share(group.recall)} | {_share(group.accuracy)} |"
            for group in figures
        ]
    return (
        "### By group\n\nThese attributes are no input; the figures show what the model does all the same.\n\n"
        + "\n".join([head, *lines])
    )


def _inputs(contract: Contract) -> str:
    required = [raw for raw in contract.inputs if raw.required]
    total = sum(raw.weight for raw in contract.inputs)
    lines = [
        f"| `{raw.name}` | {raw.title.en} | {raw.title.zh} | {raw.weight / total:.3f} |" for raw in contract.inputs
    ]
    alone = ""
    if required:
        names = " and ".join(f"`{raw.name}`" for raw in required)
        share = sum(raw.weight for raw in required) / total
        alone = (
            f"\n\nA request with {names} alone has coverage {share:.2f}; below {contract.min_coverage:g} an answer "
            "is marked `low_coverage`."
        )
    return (
        "## Inputs and their weight in the coverage\n\n| input | | | weight |\n|---|---|---|---|\n"
        + "\n".join(lines)
        + alone
    )


def _exports(agreements: list[parity.Agreement]) -> str:
    lines = "\n".join(f"| {a.name} | {a.rows} | {_bound(a.difference)} | {a.ties} |" for a in agreements)
    return (
        "## Exports against the trained model\n\nHeld-out rows, every second one with missing values, extremes or "
        f"categories never seen; allowed {parity.TOLERANCE:g}. Labels may differ where the two best classes tie.\n\n"
        f"| export | rows | probabilities differ by less than | labels that differ |\n|---|---|---|---|\n{lines}"
    )


def _limits(made: Made, dataset: Dataset) -> str:
    lines = ["It says what grades were given, not what people are worth: whatever was unfair in them it repeats."]
    if dataset.synthetic:
        lines.insert(
            0,
            "The data is synthetic: the figures say that training, export and serving work, nothing about any company.",
        )
    never = [name for c, name in enumerate(made.held_out.classes) if not (made.predicted == c).any()]
    if never:
        grade = " or ".join(never)
        lines.append(f"It never said {grade} on the held-out rows: it cannot tell {grade} from the others.")
    lines += [
        "Inputs that are allowed can stand in for those that are left out (tenure for age, for example).",
        "Values beyond those seen in training are treated as the nearest one seen, and the answer carries a warning.",
        "A missing value counts as the training median; with less than "
        f"{made.contract.min_coverage:.0%} of the weight given, the answer is little more than the usual grade.",
        "Probabilities are not calibrated on any data but that named here.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _origin(contract: Contract) -> str:
    origin = contract.provenance
    versions = ", ".join(f"{name} {number}" for name, number in origin.versions.items())
    return (
        f"## Origin\n\n- data sha256: `{origin.data_sha256}`\n- training rows: {origin.rows}\n- seed: {origin.seed}\n"
        f"- code: epm-serving {origin.code}\n- versions: {versions}"
    )


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _bound(difference: float) -> str:
    """The next power of ten: the last digits of a difference are nobody's business and change with the machine."""
    return "0" if difference == 0 else f"1e{math.floor(np.log10(difference)) + 1}"


def _band_order(name: str) -> tuple[bool, bool, float]:
    """Bands from the lowest up, those of unknown value last."""
    return name == "unknown", not name.startswith("<"), float(name.split()[-1]) if name != "unknown" else 0.0
