"""What those have to know who decide about people: what the model does, how often it errs, what it is not for."""

import numpy as np

from exporters.cards.outcomes import classes_of, deciding, outcomes
from exporters.data.dataset import Dataset
from exporters.models.made import Made
from exporters.quality import calibration, measures
from serving.contract import ProbabilityOutput, Text

SYNTHETIC = Text(
    "Trained on synthetic (invented) data: do not judge real people by it.",
    "本模型用合成（虚构）数据训练，不得用于评价真实员工。",
)
NO_OWNERS = Text(
    "Nothing in the data says whose a row is: if the table has several rows a person, the same person may be in both "
    "parts, and every figure then looks better and surer than it is.",
    "数据未标明每一行属于谁：若同一员工有多行记录，则可能同时出现在训练与检验两部分，各项指标会偏乐观，区间会偏窄。",
)
LOW_COVERAGE = Text(
    "Look twice where an answer is marked `low_coverage`: too little was known of that person.",
    "标有 `low_coverage`（输入不足）的结果请谨慎对待：对该员工所知太少。",
)
SUGGESTS = Text(
    "It suggests, a person decides: ask for the reasons before you follow it.",
    "模型只提建议，由人作决定：采纳之前请先了解原因。",
)
EARLY_WARNING = Text(
    "A flag is an early warning, a reason to talk and to offer help; it is never a reason to dismiss, to pass over "
    "for promotion or to pay less.",
    "标记只是预警，用于及时沟通和提供帮助；绝不能作为辞退、不予晋升或降薪的理由。",
)

_RULES_ALWAYS = (
    Text(
        "A person decides, knows what the answer rests on, and is free to decide otherwise.",
        "由人作决定；决定者应了解结果的依据，并有权不采纳该结果。",
    ),
    Text(
        "Those whose data is used know of it, can see what is said of them, and can have wrong records put right.",
        "数据被使用的员工应当知情，可以查看关于自己的结果，并可要求更正错误的记录。",
    ),
    Text(
        "Check figures by group and calibration on your own data before first use, and again at least once a year.",
        "首次使用前须用本单位数据检查分组指标与校准情况，此后至少每年复查一次。",
    ),
)
_RULES_OF_CLASSES = (
    Text(
        "The answer is one voice beside the review, not the review; pay and dismissal are not decided by it.",
        "结果只是评估的参考之一，不能代替评估，也不得据此决定薪酬或辞退。",
    ),
)
_RULES_OF_PROBABILITIES = (
    EARLY_WARNING,
    Text(
        "Only those see an answer who can help: it is no ranking, goes to no record and is not kept for later.",
        "只有能够提供帮助的人才可查看结果；结果不用于排名、不入档案，预测期满后不再保留。",
    ),
    Text(
        "A low probability is no promise: it happens to people who were never flagged, too.",
        "概率低不等于不会发生：未被标记的员工也可能出现这种情况。",
    ),
)


def for_managers(made: Made, dataset: Dataset) -> str:
    """The summary on top of a card, in both languages."""
    body = _of_classes(made, dataset) if classes_of(made.contract) else _of_probabilities(made)
    warnings = [SYNTHETIC] if dataset.synthetic else []
    texts = [*warnings, *body, LOW_COVERAGE]
    english = " ".join(text.en for text in texts)
    chinese = "".join(text.zh for text in texts)
    return f"**For managers.** {english}\n\n**管理者摘要。**{chinese}"


def rules(made: Made) -> list[Text]:
    """Rules of use, most important first."""
    of_kind = _RULES_OF_CLASSES if classes_of(made.contract) else _RULES_OF_PROBABILITIES
    return [*of_kind, *_RULES_ALWAYS]


def _of_classes(made: Made, dataset: Dataset) -> list[Text]:
    contract, truth = made.contract, made.held_out.target
    said = made.candidates[made.published]
    predicted = np.stack([outcome.probability for outcome in outcomes(contract, made.held_out, said)], axis=1)
    hits = _of_100(float((predicted.argmax(axis=1) == truth).mean()))
    guessed = _of_100(float(np.bincount(truth).max() / len(truth)))
    names = made.held_out.classes
    unseen, unseen_zh = ("people", "人员") if dataset.owners_known else ("rows", "记录")
    return [
        Text(
            f"Suggests, from records of work, which of {', '.join(names)} fits ({contract.title.en}). Among {unseen} "
            f"it has not seen it is right in {hits} of 100 cases; always saying the commonest would be right in "
            f"{guessed}.",
            f"根据工作记录建议{contract.title.zh}（{'、'.join(names)}）。对未参与训练的{unseen_zh}，"
            f"每 100 例约 {hits} 例正确；若一律给出最常见的类别，则约 {guessed} 例正确。",
        ),
        *([] if dataset.owners_known else [NO_OWNERS]),
        _trust(made),
        SUGGESTS,
    ]


def _of_probabilities(made: Made) -> list[Text]:
    contract = made.contract
    titles = [output.title for output in contract.outputs if isinstance(output, ProbabilityOutput)]
    months = f" of the last {contract.months} months" if contract.months else ""
    months_zh = f"最近 {contract.months} 个月的" if contract.months else ""
    what = Text(
        f"Estimates, from records of work{months}, how likely it is: {'; '.join(title.en for title in titles)}.",
        f"根据{months_zh}工作记录，估计以下情况的可能性：{'；'.join(title.zh for title in titles)}。",
    )
    return [what, *_flags(made), _trust(made), EARLY_WARNING]


def _flags(made: Made) -> list[Text]:
    decision = deciding(made.contract)
    if decision is None:
        return []
    said = made.candidates[made.published]
    event = next(o for o in outcomes(made.contract, made.held_out, said) if o.selected is not None)
    selected, everyone = event.labelled(), np.ones(len(event.happened), bool)
    flagged, base, right, found = (
        _of_100(measures.share(what, among))
        for what, among in (
            (selected, everyone),
            (event.happened, everyone),
            (event.happened, selected),
            (selected, event.happened),
        )
    )
    return [
        Text(
            f"It flags about {flagged} of 100 people. Of 100 people flagged, about {right} turn out so "
            f"({decision.title.en}), against {base} of 100 people picked by lot; of 100 to whom it happens, it has "
            f"flagged about {found}. So it errs both ways.",
            f"每 100 人中约标记 {flagged} 人。每 100 名被标记者中约有 {right} 人确实发生"
            f"（{decision.title.zh}），随机抽取的 100 人中约有 {base} 人；"
            f"每 100 名实际发生者中约有 {found} 人曾被标记。因此两种错误都会出现。",
        )
    ]


def _trust(made: Made) -> Text:
    """How far its probabilities can be taken at their word: of the outcome where they are furthest off."""
    said = made.candidates[made.published]
    points = 100 * max(
        calibration.expected_calibration_error(outcome.probability, outcome.happened)
        for outcome in outcomes(made.contract, made.held_out, said)
    )
    return Text(
        f"What it says and how often it happens differ by {points:.1f} points of 100 on average.",
        f"其给出的概率与实际发生的频率平均相差约 {points:.1f} 个百分点。",
    )


def _of_100(share: float) -> str:
    return "-" if np.isnan(share) else f"{share * 100:.0f}"
