"""The feature program is fitted on training rows only, and the inputs weigh what the model made of them."""

from dataclasses import replace

import numpy as np
import pytest

from exporters.data.dataset import Dataset, split
from exporters.data.schema import Column
from exporters.data.table import Table
from exporters.errors import DataError
from exporters.models import program, training
from exporters.public.cross_validation import NOWHERE
from serving.contract import Contract, NumberInput, Text
from serving.features.program import compile_program, run_reference
from serving.features.rows import RowSchema

pytestmark = pytest.mark.unit


def drafted(numbers: list[float], names: list[str]) -> Contract:
    """A contract fitted on two columns, `x` and `place`."""
    table = Table(
        {"x": np.array(numbers), "place": np.array(names)},
        np.arange(len(numbers)) % 2,
        ("yes", "no"),
        np.array([str(n) for n in range(len(numbers))]),
    )
    text = Text("", "")
    inputs = (Column("x", "number", text, low=-100, high=100), Column("place", "category", text))
    dataset = Dataset(text, table, inputs, {}, "", "", False)
    return program.draft("m", dataset, table, NOWHERE)


def test_numbers_are_clipped_to_what_was_seen_imputed_by_the_median_and_flagged():
    contract = drafted([1, 2, 9, np.nan], ["a", "b", "a", "a"])
    X = program.feature_matrix(contract, {"x": np.array([-50.0, 50.0, np.nan]), "place": np.array(["a", "a", "a"])})
    named = dict(zip(contract.program.features, X.T.tolist(), strict=True))
    assert named["x:filled"] == [1, 9, 2]
    assert named["x:missing"] == [0, 0, 1]


def test_there_is_no_missing_flag_where_training_knew_no_missing_value():
    assert "x:missing" not in drafted([1, 2, 9, 3], ["a", "b", "a", "a"]).program.features


def test_categories_have_a_slot_each_one_for_the_unknown_and_none_for_the_missing():
    contract = drafted([1, 2, 3, 4], ["b", "a", "", "a"])
    X = program.feature_matrix(contract, {"x": np.zeros(4), "place": np.array(["a", "b", "zzz", ""])})
    assert contract.program.features[1:] == ("place=a", "place=b", "place:unknown")
    assert X[:, 1:].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_the_program_knows_nothing_of_held_out_rows(dataset: Dataset):
    training_rows, held_out = split(dataset.table, 0.25, 3)
    spoilt = {name: cells.copy() for name, cells in dataset.table.columns.items()}
    spoilt["hours"][held_out] = 167.0
    spoilt["quality"][held_out] = np.nan
    spoilt["department"][held_out] = "Nowhere"
    other = replace(dataset, table=replace(dataset.table, columns=spoilt))
    one, two = (program.draft("m", d, d.table.rows(training_rows), NOWHERE) for d in (dataset, other))
    assert one == two
    assert training.make("m", dataset, 3, 4).contract == training.make("m", other, 3, 4).contract


def test_no_employee_stands_on_both_sides_of_the_split(dataset: Dataset):
    training_rows, held_out = split(dataset.table, 0.25, 3)
    groups = dataset.table.groups
    assert not set(groups[training_rows].tolist()) & set(groups[held_out].tolist())
    assert (training_rows ^ held_out).all()
    assert held_out.mean() == pytest.approx(0.25, abs=0.01)


def test_ranges_seen_in_the_contract_are_those_of_training_rows(dataset: Dataset, made: training.Made):
    training_rows, _ = split(dataset.table, 0.25, 3)
    for raw in made.contract.inputs:
        if isinstance(raw, NumberInput):
            cells = dataset.table.columns[raw.name][training_rows]
            assert raw.seen == (np.nanmin(cells), np.nanmax(cells))


def test_weights_sum_to_one_and_none_is_nothing(made: training.Made):
    weights = np.array([raw.weight for raw in made.contract.inputs])
    assert weights.sum() == pytest.approx(1, abs=1e-4)
    assert weights.min() > 0.004


def test_a_one_hot_weighs_what_all_its_slots_weigh_together():
    contract = drafted([1, 2, 9, np.nan], ["a", "b", "a", "a"])
    weighed = program.weighed(contract, np.array([0.1, 0.2, 0.3, 0.3, 0.1]))
    assert [raw.weight for raw in weighed.inputs] == pytest.approx([0.3, 0.7])


def test_hours_alone_are_not_enough_for_a_grade(made: training.Made):
    schema = RowSchema(made.contract)
    coverage = schema.inspect(schema.assemble({"hours": [40.0]}, 1)).coverage[0]
    assert 0 < coverage < made.contract.min_coverage == 0.5


def test_protected_attributes_are_no_input_and_the_contract_says_so(made: training.Made):
    names = {raw.name for raw in made.contract.inputs}
    left_out = {item.name for item in made.contract.left_out}
    assert left_out == {"gender", "age"}
    assert not names & left_out
    assert [raw.name for raw in made.contract.inputs if raw.required] == ["hours"]


def test_the_model_is_trained_on_what_the_gateways_kernel_computes(made: training.Made):
    rows = program.raw_rows(made.contract, made.held_out.columns)
    X = compile_program(made.contract).run(rows).features
    assert np.array_equal(X, run_reference(made.contract, rows).features)
    assert np.array_equal(made.trained.probabilities(X).argmax(axis=1), made.predicted)


def test_a_column_that_is_empty_in_every_training_row_is_refused():
    with pytest.raises(DataError, match="column 'x': every training row is empty"):
        drafted([np.nan] * 4, ["a", "b", "a", "b"])


def test_a_column_of_free_text_is_refused():
    with pytest.raises(DataError, match="column 'place': got 300 different texts"):
        drafted([1.0, 2.0] * 150, [f"room {n}" for n in range(300)])
