"""The public INX table: protected attributes kept out, grades read, figures within reach of the reference."""

from pathlib import Path

import pytest

from exporters.data.dataset import with_attributes
from exporters.errors import DataError
from exporters.models import program
from exporters.public.algorithms import BOOSTED, LINEAR, PLAIN
from exporters.public.cross_validation import NOWHERE, Figures, cross_validate
from exporters.public.tables import INX
from tests.exporters.conftest import DATA

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (DATA / INX.file).is_file(), reason=f"{INX.file} is not in ../shared/data"),
]


def _figures(title: str, algorithm: str) -> dict[str, Figures]:
    variant = next(variant for variant in INX.variants if variant.title == title)
    dataset = with_attributes(INX.load(DATA), variant.brought_back)
    return cross_validate(dataset, {algorithm: PLAIN[algorithm]}, INX.scores)[algorithm]


def test_protected_attributes_and_the_salary_rise_are_no_input_and_the_contract_gives_reasons():
    dataset = INX.load(DATA)
    contract = program.class_draft("performance_inx", dataset, dataset.table, NOWHERE)
    names = {raw.name for raw in contract.inputs}
    assert len(names) == 22
    assert not names & {"Age", "Gender", "MaritalStatus", "EmpLastSalaryHikePercent", "EmpNumber", "PerformanceRating"}
    reasons = {item.name: item.reason for item in contract.left_out}
    assert set(reasons) == {"Age", "Gender", "MaritalStatus", "EmpLastSalaryHikePercent"}
    assert "protected" in reasons["Gender"]
    assert "rating" in reasons["EmpLastSalaryHikePercent"]


def test_ratings_four_three_two_are_grades_a_b_c():
    table = INX.load(DATA).table
    assert table.classes == ("A", "B", "C")
    assert [(table.target == c).sum() for c in range(3)] == [132, 874, 194]


def test_all_columns_reach_the_reference_figures():
    figures = _figures("all columns", BOOSTED)
    assert figures["accuracy"].mean == pytest.approx(0.933, abs=0.01)
    assert figures["macro-F1"].mean == pytest.approx(0.899, abs=0.015)


def test_without_the_salary_rise_the_figures_fall_far():
    figures = _figures("without protected attributes and salary rise: what is published", LINEAR)
    assert figures["accuracy"].mean == pytest.approx(0.768, abs=0.02)
    assert figures["macro-F1"].mean == pytest.approx(0.482, abs=0.02)


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=INX.file):
        INX.load(Path("/nowhere"))
