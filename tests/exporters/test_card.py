"""A card has every section in figures and words, for models of classes and of horizons, and the same bytes again."""

import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from exporters.cards import card, comparison
from exporters.cards.card import Card
from exporters.cards.sections import decision, group_figures, rivals
from exporters.data.dataset import Dataset
from exporters.models.made import Made
from exporters.quality.intervals import Bootstrap, Interval
from tests.exporters import fake_made

pytestmark = pytest.mark.unit
SECTIONS = [
    "What it is",
    "Rules of use · 使用规则",
    "Quality on 4500 held-out rows",
    "Calibration",
    "Confusion",
    "Learning curve",
    "By group",
    "Inputs and their weight in the coverage",
    "Left out",
    "Exports against the trained model",
    "Limits",
    "Origin",
]


@pytest.fixture(scope="module")
def classes() -> tuple[Made, Dataset]:
    return fake_made.of_classes()


@pytest.fixture(scope="module")
def horizons() -> tuple[Made, Dataset]:
    return fake_made.of_horizons()


@pytest.fixture(scope="module")
def of_classes(classes) -> Card:
    return card.render(*classes, fake_made.AGREEMENTS)


@pytest.fixture(scope="module")
def of_horizons(horizons) -> Card:
    return card.render(*horizons, fake_made.AGREEMENTS)


def test_every_section_is_there_in_order(of_classes, of_horizons):
    threshold = ["What the threshold means" if name == "Confusion" else name for name in SECTIONS]
    assert _sections(of_classes) == SECTIONS
    assert _sections(of_horizons) == threshold


def test_every_picture_shown_is_there_and_no_other(of_classes, of_horizons):
    for made_card in (of_classes, of_horizons):
        assert set(re.findall(r"!\[[^]]*\]\(([^)]*)\)", made_card.text)) == set(made_card.images)
        assert set(made_card.files()) == {"card.md", "reliability.png", "confusion.png", "learning_curve.png"}


def test_the_same_model_gives_the_same_card(horizons, of_horizons):
    assert card.render(*horizons, fake_made.AGREEMENTS) == of_horizons


def test_tables_have_as_many_cells_in_each_row_as_in_their_head(of_classes, of_horizons):
    for text in (of_classes.text, of_horizons.text):
        for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_managers_read_what_the_figures_say_in_both_languages(classes, of_classes, horizons, of_horizons):
    made, _ = classes
    hits = 100 * (made.candidates["xgboost"]["probabilities"].argmax(axis=1) == made.held_out.target).mean()
    assert f"right in {hits:.0f} of 100" in of_classes.text
    assert f"每 100 例约 {hits:.0f} 例正确" in of_classes.text
    made, _ = horizons
    flagged, left = (
        made.candidates["blend"]["probability_6m"] >= np.float32(fake_made.THRESHOLD),
        made.held_out.target <= 1,
    )
    right, found = 100 * left[flagged].mean(), 100 * flagged[left].mean()
    assert f"Of 100 people flagged, about {right:.0f} turn out so (leaves within 6 months)" in of_horizons.text
    assert f"of 100 to whom it happens, it has flagged about {found:.0f}" in of_horizons.text
    assert f"每 100 名被标记者中约有 {right:.0f} 人确实发生（6 个月内离职）" in of_horizons.text
    assert f"约有 {found:.0f} 人曾被标记" in of_horizons.text


def test_attrition_is_an_early_warning_and_no_reason_to_dismiss(of_horizons):
    for summary_or_rule in of_horizons.text.split("## What it is"):
        assert "never a reason to dismiss" in summary_or_rule
        assert "绝不能作为辞退" in summary_or_rule


def test_synthetic_data_is_called_so_and_other_data_is_not(classes, of_classes):
    made, dataset = classes
    for words in (
        "Trained on synthetic",
        "合成",
        "Data: made-up",
        "The data is synthetic",
        "data: synthetic",
    ):
        assert words in of_classes.text
    contract = msgspec.structs.replace(
        made.contract, provenance=msgspec.structs.replace(made.contract.provenance, synthetic=False)
    )
    table = replace(made.held_out, true_probabilities=None)
    real = card.render(replace(made, contract=contract, held_out=table), replace(dataset, synthetic=False), [])
    assert re.findall("synthetic|合成", real.text.replace("not synthetic", "")) == []
    assert "Best possible" not in real.text


def test_figures_of_candidates_are_what_scikit_learn_finds(horizons):
    made, _ = horizons
    lines = {line.name: line for line in comparison.compare(made, Bootstrap(made.held_out.groups, 0, draws=50))}
    assert list(lines) == ["network", "xgboost", "blend", comparison.TRUE]
    for name, said in made.candidates.items():
        for (figure, interval), p, last in zip(
            lines[name].figures.items(), (said["probability_3m"], said["probability_6m"]), (0, 1), strict=False
        ):
            assert figure.title.startswith("AUC")
            assert interval.value == pytest.approx(roc_auc_score(made.held_out.target <= last, p))
            assert interval.low < interval.value < interval.high
    assert not lines["blend"].differences
    assert all(d.high < 0 for f, d in lines["network"].differences.items() if f.higher_is_better)


def test_the_best_possible_auc_is_met_by_true_probabilities_on_the_same_rows(horizons):
    made, _ = horizons
    best = comparison.best_possible(made)
    lines = comparison.compare(made, Bootstrap(made.held_out.groups, 0, draws=100))
    for figure, interval in lines[-1].figures.items():
        if figure.higher_is_better:
            assert interval.low < best[figure.title] < interval.high


def test_a_baseline_that_wins_is_named(horizons):
    made, dataset = horizons
    bootstrap = Bootstrap(made.held_out.groups, 0, draws=50)
    assert "No rival of blend is better" in rivals.render(made, dataset, bootstrap)
    worse = rivals.render(replace(made, published="network"), dataset, bootstrap)
    assert "**xgboost is better than what is published by more than the interval in: AUC, leaves within 3" in worse
    assert "**network (published)**" in worse


def test_lower_log_loss_counts_as_better():
    loss, auc = comparison.Figure("log loss", higher_is_better=False), comparison.Figure("AUC")
    lower, higher, either = Interval(-0.2, -0.3, -0.1), Interval(0.2, 0.1, 0.3), Interval(0.0, -0.1, 0.1)
    assert comparison.Line("x", {}, {loss: lower, auc: lower}).better() == [loss]
    assert comparison.Line("x", {}, {loss: higher, auc: higher}).better() == [auc]
    assert comparison.Line("x", {}, {loss: either, auc: either}).better() == []


def test_held_out_months_are_named(classes):
    made, dataset = classes
    bootstrap = Bootstrap(made.held_out.groups, 0, draws=2)
    assert "They are of 2024-06. In brackets" in rivals.render(made, dataset, bootstrap)
    for other, said in (
        ("2023-06", "They are of 2024-06, later than all months"),
        ("2024-07", "They are of 2024-06. In"),
    ):
        months = np.where(np.arange(len(dataset.table)) % 2, "2024-06", other)
        table = replace(dataset.table, attributes={**dataset.table.attributes, "month": months})
        assert said in rivals.render(made, replace(dataset, table=table), bootstrap)


def test_without_owners_the_card_speaks_of_rows_and_says_that_people_may_be_in_both_parts(classes, of_classes):
    made, dataset = classes
    text = card.render(made, replace(dataset, owners_known=False), []).text
    assert "No one in these rows" not in text
    assert "draws of 1500 people" not in text
    assert "on fewer people" not in text
    assert "Among people" not in text
    assert "None of these rows is a training row." in text
    assert "draws of 1500 rows, each by itself" in text
    assert "The same training on fewer rows" in text
    assert "Among rows it has not seen" in text
    for part in text.split("## What it is"):  # for managers, and where the figures stand
        assert "the same person may be in both parts" in part
    assert "同一员工有多行记录" in text
    assert "the same person may be in both parts" not in of_classes.text
    assert "No one in these rows is in the training rows." in of_classes.text
    assert "draws of 1500 people with all their rows" in of_classes.text


def test_a_flag_is_float32_at_or_above_the_threshold(horizons):
    """As the graph has it: 0.35 as float32 is less than 0.35, and still flagged."""
    made, _ = horizons
    said = {**made.candidates["blend"]}
    said["probability_6m"] = np.full(len(made.held_out), np.float32(fake_made.THRESHOLD))
    text = decision.render(replace(made, candidates={"blend": said}), Bootstrap(made.held_out.groups, seed=0, draws=2))
    assert "| **0.350 (published)** | 1.000 |" in text


def test_precision_and_recall_of_the_threshold_are_not_mixed_up(horizons, of_horizons):
    made, _ = horizons
    flagged, left = (
        made.candidates["blend"]["probability_6m"] >= np.float32(fake_made.THRESHOLD),
        made.held_out.target <= 1,
    )
    right, found = left[flagged].mean(), flagged[left].mean()
    assert f"| **0.350 (published)** | {flagged.mean():.3f} | {right:.3f} | {found:.3f} |" in of_horizons.text
    assert re.search(rf"came true in {100 * right:.0f} \(\d+ .. \d+\) \(precision\)", of_horizons.text)
    assert re.search(rf"{100 * found:.0f} \(\d+ .. \d+\) were flagged \(recall\)", of_horizons.text)


def test_the_table_of_a_threshold_keeps_its_periods_apart(horizons, of_horizons):
    made, _ = horizons
    flagged = made.candidates["blend"]["probability_6m"] >= np.float32(fake_made.THRESHOLD)
    for c, name in enumerate(made.held_out.classes):
        counts = flagged[made.held_out.target == c]
        expected = f"| {name} | {counts.sum()} | {(~counts).sum()} | {counts.mean():.3f} |"
        assert expected in of_horizons.text


def test_a_class_never_said_and_a_class_never_there_do_not_break_the_card(classes):
    made, dataset = classes
    target = np.where(made.held_out.target == 2, 1, made.held_out.target)
    always = {"xgboost": made.candidates["always the commonest class"]}
    changed = replace(made, candidates=always, held_out=replace(made.held_out, target=target))
    text = card.render(changed, dataset, []).text
    assert "It never said A on the held-out rows" in text
    assert "| C | 0 | 0 | 0 | - |" in text


def test_groups_are_shown_for_the_ends_of_classes_and_for_what_the_threshold_decides(of_classes, of_horizons):
    headings = [
        re.findall(r"^### (.*)$", c.text.split("## By group")[1].split("\n## ")[0], re.M)
        for c in (of_classes, of_horizons)
    ]
    assert headings == [["A", "C"], ["leaves within 6 months"]]
    for text in (of_classes.text, of_horizons.text):
        bands = re.findall(r"^\| age ([^|]*) \|", text, re.MULTILINE)
        assert bands[:4] == ["< 30", "30 .. < 40", "40 .. < 50", ">= 50"]


def test_two_classes_have_an_auc_and_one_table_of_groups():
    made, dataset = fake_made.of_classes(("leaves", "stays"))
    bootstrap = Bootstrap(made.held_out.groups, seed=0, draws=10)
    assert "|  | macro-F1 | accuracy | AUC | log loss |" in rivals.render(made, dataset, bootstrap)
    assert re.findall("^### (.*)$", group_figures.render(made, dataset, bootstrap), re.MULTILINE) == ["leaves"]


def test_data_without_groups_and_models_without_a_curve_have_no_such_sections(classes):
    made, dataset = classes
    made_card = card.render(
        replace(made, curve=()), replace(dataset, groups={}), fake_made.AGREEMENTS, "## Extra\n\nx\n"
    )
    assert [name for name in SECTIONS if name not in _sections(made_card)] == ["Learning curve", "By group"]
    assert "Extra" in _sections(made_card)
    assert "learning_curve.png" not in made_card.images


def test_origin_and_exports_are_as_recorded(of_horizons):
    assert "sha256 `" + "ab" * 32 in of_horizons.text
    assert "- seed: 7\n" in of_horizons.text
    assert "| onnxruntime | 10000 | 1e-6 | 0 |" in of_horizons.text
    assert "| gateway | 10000 | 0 | 1 |" in of_horizons.text
    assert "| `monthly_overtime` | overtime | 加班 | 12 months, h/month | 0.625 |" in of_horizons.text
    assert "- `gender`: protected attribute" in of_horizons.text


def _sections(made_card: Card) -> list[str]:
    return re.findall(r"^## (.*)$", made_card.text, re.MULTILINE)
