"""The public INX table: pinned, protected attributes kept out, figures within reach of the reference."""

import shutil
from pathlib import Path

import pytest

from exporters.errors import DataError
from exporters.models import program
from exporters.public import inx
from exporters.public.cross_validation import NOWHERE, Figures, reference_xgboost
from tests.exporters.conftest import DATA

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (DATA / inx.FILE).is_file(), reason=f"{inx.FILE} is not in ../shared/data"),
]


def test_protected_attributes_and_the_salary_rise_are_no_input_and_the_contract_gives_reasons():
    dataset = inx.load(DATA)
    contract = program.draft("performance_inx", dataset, dataset.table, NOWHERE)
    names = {raw.name for raw in contract.inputs}
    assert len(names) == 22
    assert not names & {"Age", "Gender", "MaritalStatus", "EmpLastSalaryHikePercent", "EmpNumber", "PerformanceRating"}
    reasons = {item.name: item.reason for item in contract.left_out}
    assert set(reasons) == {"Age", "Gender", "MaritalStatus", "EmpLastSalaryHikePercent"}
    assert "protected" in reasons["Gender"]
    assert "rating" in reasons["EmpLastSalaryHikePercent"]


def test_ratings_four_three_two_are_grades_a_b_c():
    table = inx.load(DATA).table
    assert table.classes == ("A", "B", "C")
    assert [(table.target == c).sum() for c in range(3)] == [132, 874, 194]


def test_all_columns_reach_the_reference_figures():
    figures = inx.figures(inx.load(DATA), "(a) all columns", "XGBoost")
    assert figures.accuracy == pytest.approx(0.933, abs=0.01)
    assert figures.macro_f1 == pytest.approx(0.899, abs=0.015)


def test_without_the_salary_rise_the_figures_fall_far():
    figures = inx.figures(inx.load(DATA), "(d) without both: as published", "logistic regression")
    assert figures.accuracy == pytest.approx(0.768, abs=0.02)
    assert figures.macro_f1 == pytest.approx(0.482, abs=0.02)


def test_another_copy_of_the_file_is_refused(tmp_path: Path):
    shutil.copy(DATA / inx.FILE, tmp_path / inx.FILE)
    (tmp_path / inx.FILE).chmod(0o644)
    with (tmp_path / inx.FILE).open("a") as file:
        file.write("\n")
    with pytest.raises(DataError, match="sha256"):
        inx.load(tmp_path)


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=inx.FILE):
        inx.load(Path("/nowhere"))


def test_the_card_names_the_learning_rate_and_why_it_was_chosen(monkeypatch):
    monkeypatch.setattr(inx, "figures", lambda *_: Figures(0.9, 0.0, 0.8, 0.0))
    text = inx.section(inx.load(DATA))
    assert reference_xgboost(0).learning_rate == 0.1
    assert "depth 3, 200 trees, learning rate 0.1, otherwise untuned." in text
    assert "do not name their learning rate" in text
    assert "comes closest (0.3: 0.926 / 0.888)" in text
