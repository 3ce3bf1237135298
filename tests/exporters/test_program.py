"""The feature program is fitted on training rows only, and the inputs weigh what the model made of them."""

from dataclasses import replace

import numpy as np
import pytest

from exporters.data.dataset import Dataset
from exporters.data.schema import Column
from exporters.data.splits import split
from exporters.data.table import Table
from exporters.errors import DataError
from exporters.models import classifier, inputs, program
from exporters.models.algorithms import ALGORITHMS, Algorithm
from exporters.models.made import Made
from exporters.public.cross_validation import NOWHERE
from serving.contract import Contract, NumberInput, ProbabilityOutput, Text
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
    columns = (Column("x", "number", text, low=-100, high=100), Column("place", "category", text))
    dataset = Dataset(text, table, columns, {}, "", "", False)
    return program.class_draft("m", dataset, table, NOWHERE)


def test_numbers_are_clipped_to_what_was_seen_imputed_by_the_median_and_flagged():
    contract = drafted([1, 2, 9, np.nan], ["a", "b", "a", "a"])
    X = inputs.feature_matrix(contract, {"x": np.array([-50.0, 50.0, np.nan]), "place": np.array(["a", "a", "a"])})
    named = dict(zip(contract.program.features, X.T.tolist(), strict=True))
    assert named["x:filled"] == [1, 9, 2]
    assert named["x:missing"] == [0, 0, 1]


def test_there_is_no_missing_flag_where_training_knew_no_missing_value():
    assert "x:missing" not in drafted([1, 2, 9, 3], ["a", "b", "a", "a"]).program.features


def test_categories_have_a_slot_each_one_for_the_unknown_and_none_for_the_missing():
    contract = drafted([1, 2, 3, 4], ["b", "a", "", "a"])
    X = inputs.feature_matrix(contract, {"x": np.zeros(4), "place": np.array(["a", "b", "zzz", ""])})
    assert contract.program.features[1:] == ("place=a", "place=b", "place:unknown")
    assert X[:, 1:].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_the_program_knows_nothing_of_held_out_rows(dataset: Dataset, algorithm: Algorithm, monkeypatch):
    monkeypatch.setattr(classifier, "ALGORITHMS", (algorithm,))  # held-out rows choose between the two
    training_rows, held_out = split(dataset.table, 0.25, 3)
    spoilt = {name: cells.copy() for name, cells in dataset.table.columns.items()}
    spoilt["hours"][held_out] = 167.0
    spoilt["quality"][held_out] = np.nan
    spoilt["department"][held_out] = "Nowhere"
    other = replace(dataset, table=replace(dataset.table, columns=spoilt))
    one, two = (program.class_draft("m", d, d.table.rows(training_rows), NOWHERE) for d in (dataset, other))
    assert one == two
    assert classifier.make("m", dataset, 3, 4).contract == classifier.make("m", other, 3, 4).contract


def test_no_employee_stands_on_both_sides_of_the_split(dataset: Dataset):
    training_rows, held_out = split(dataset.table, 0.25, 3)
    groups = dataset.table.groups
    assert not set(groups[training_rows].tolist()) & set(groups[held_out].tolist())


def test_ranges_seen_in_the_contract_are_those_of_training_rows(dataset: Dataset, made: Made):
    training_rows, _ = split(dataset.table, 0.25, 3)
    for raw in made.contract.inputs:
        if isinstance(raw, NumberInput):
            cells = dataset.table.columns[raw.name][training_rows]
            assert raw.seen == (np.nanmin(cells), np.nanmax(cells))


def test_weights_sum_to_one_and_none_is_nothing(made: Made):
    weights = np.array([raw.weight for raw in made.contract.inputs])
    assert weights.sum() == pytest.approx(1, abs=1e-4)
    assert weights.min() > 0.004


def test_a_one_hot_weighs_what_all_its_slots_weigh_together():
    contract = drafted([1, 2, 9, np.nan], ["a", "b", "a", "a"])

    class Estimator:
        feature_importances_ = (0.1, 0.2, 0.3, 0.3, 0.1)

    trained = classifier.TrainedClassifier(ALGORITHMS[0], Estimator(), 1.0, np.zeros(2, np.float32))
    weighed = program.weighed(contract, trained.importances(contract))
    assert [raw.weight for raw in weighed.inputs] == pytest.approx([0.3, 0.7])


def test_hours_alone_are_not_enough_for_a_grade(made: Made):
    schema = RowSchema(made.contract)
    coverage = schema.inspect(schema.assemble({"hours": [40.0]}, 1)).coverage[0]
    assert 0 < coverage < made.contract.min_coverage == 0.5


def test_protected_attributes_are_no_input_and_the_contract_says_so(made: Made):
    names = {raw.name for raw in made.contract.inputs}
    left_out = {item.name for item in made.contract.left_out}
    assert left_out == {"gender", "age"}
    assert not names & left_out
    assert [raw.name for raw in made.contract.inputs if raw.required] == ["hours"]


def test_the_model_is_trained_on_what_the_gateways_kernel_computes(made: Made):
    rows = inputs.raw_rows(made.contract, made.held_out.columns)
    X = compile_program(made.contract).run(rows).features
    assert np.array_equal(X, run_reference(made.contract, rows).features)
    assert np.array_equal(
        made.trained.answers({"features": X})["probabilities"], made.candidates[made.published]["probabilities"]
    )


def test_a_column_that_is_empty_in_every_training_row_is_refused():
    with pytest.raises(DataError, match="column 'x': every training row is empty"):
        drafted([np.nan] * 4, ["a", "b", "a", "b"])


def test_a_column_of_free_text_is_refused():
    with pytest.raises(DataError, match="column 'place': got 300 different texts"):
        drafted([1.0, 2.0] * 150, [f"room {n}" for n in range(300)])


def of_months(cells: np.ndarray) -> Contract:
    """A contract fitted on one history and a number beside it."""
    n = len(cells)
    table = Table(
        {"x": np.arange(n) * 1.0, "monthly": cells},
        np.arange(n) % 2,
        ("yes", "no"),
        np.array([str(i) for i in range(n)]),
    )
    text = Text("", "")
    columns = (Column("x", "number", text), Column("monthly", "history", text, "h", 0, 744))
    dataset = Dataset(text, table, columns, {}, "", "", False)
    output = ProbabilityOutput("p", text, "p")
    return program.draft("m", dataset, table, NOWHERE, (output,), standardized=True)


def test_months_are_scaled_into_the_window_with_a_mask_and_summed_up_in_the_matrix():
    random = np.random.default_rng(0)
    cells = np.round(random.gamma(2.0, 5.0, (200, 12)))
    contract = of_months(cells)
    assert (contract.months, contract.program.window) == (12, ("monthly:window", "mask"))
    assert [tensor.shape for tensor in contract.tensors] == [(len(contract.program.features),), (12, 2)]
    given = {"x": np.array([1.0, 1.0]), "monthly": np.stack([cells[0], cells[1]])}
    given["monthly"][1, :9], given["monthly"][1, 10] = np.nan, np.nan
    made = inputs.tensors(contract, given)
    window = made["history"]
    assert window[0, :, 0] == pytest.approx((cells[0] - cells.mean()) / cells.std(), abs=1e-5)
    assert window[:, :, 1].tolist() == [[1.0] * 12, [0.0] * 9 + [1.0] * 3]
    assert window[1, [0, 10], 0].tolist() == [0, 0], "what is not there is the mean"
    last3 = dict(zip(contract.program.features, made["features"][1], strict=True))["monthly:mean3:scaled"]
    means = cells[:, -3:].mean(axis=1)
    assert last3 == pytest.approx((cells[1, [9, 11]].mean() - means.mean()) / means.std(), abs=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("known", "absent"),
    [
        ([2], {"mean3", "mean6", "slope12"}),
        ([2, 5], {"mean3", "mean6"}),
        ([2, 5, 8, 11], set()),
        ([11], {"slope12"}),
    ],
)
def test_a_summary_that_no_training_row_has_is_left_out(known, absent):
    random = np.random.default_rng(0)
    cells = np.full((50, 12), np.nan)
    cells[:, known] = random.gamma(2.0, 5.0, (50, len(known)))
    contract = of_months(cells)
    ever = {f"{op}{params[0]:g}" if params else op for op, params in program.SUMMARIES}
    assert {name.split(":")[1] for name in contract.program.features if name.startswith("monthly")} == ever - absent
    assert Contract.from_json(contract.to_json()) == contract
    later = {"x": np.ones(2), "monthly": random.gamma(2.0, 5.0, (2, 12))}  # whatever comes, all of it is a number
    assert all(np.isfinite(values).all() for values in inputs.tensors(contract, later).values())


def test_numbers_for_a_network_have_mean_0_and_variance_1_in_training():
    contract = of_months(np.random.default_rng(1).gamma(2.0, 5.0, (300, 12)))
    rows = {"x": np.arange(300) * 1.0, "monthly": np.random.default_rng(1).gamma(2.0, 5.0, (300, 12))}
    X = inputs.feature_matrix(contract, rows)
    assert X.mean(axis=0) == pytest.approx(0, abs=1e-4)
    assert X.std(axis=0) == pytest.approx(1, abs=1e-4)


def test_every_value_of_the_window_but_the_mask_comes_from_a_history():
    contract = of_months(np.ones((4, 12)) * np.arange(4)[:, None])
    source = inputs.sources(contract)
    assert [source.get(value) for value in contract.program.window] == ["monthly", None]
    assert {source[value] for value in contract.program.features} == {"x", "monthly"}
