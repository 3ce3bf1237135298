"""The compiled feature program is held to its NumPy reference."""

from dataclasses import dataclass, replace
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.contract import (
    CategoryInput,
    Contract,
    DateInput,
    GraphInput,
    HistoryInput,
    NumberInput,
    Program,
    RawInput,
    Step,
    TextInput,
)
from serving.errors import ContractError
from serving.features import generate
from serving.features.operations import CATEGORY, DATE, MONTHLY, NUMBER, OPERATIONS, SAME, TEXT
from serving.features.program import compile_program, run_reference
from serving.features.rows import RawRows
from tests.support.models import contract, text

pytestmark = pytest.mark.unit

NUMBERS = st.floats(-1e9, 1e9) | st.sampled_from([np.nan, 0.0, -0.0, 1.0, 2.0, 1e-300, 1e300])
PARAMS = st.floats(-1e6, 1e6).filter(lambda value: value != 0)
KINDS = {NUMBER: NumberInput, CATEGORY: CategoryInput, TEXT: TextInput, DATE: DateInput, MONTHLY: HistoryInput}


@dataclass
class Drawn:
    """A value of a program under construction: name, kind, and of a category how many there are."""

    name: str
    kind: str
    categories: int = 0


def raw_input(value: Drawn) -> RawInput:
    more = {CATEGORY: {"categories": tuple("abcdef"[: value.categories])}, NUMBER: {"unit": ""}, MONTHLY: {"unit": ""}}
    return KINDS[value.kind](name=value.name, title=text(value.name), **more.get(value.kind, {}))


def params(draw: st.DrawFn, op: str, months: int, categories: int) -> tuple[float, ...]:
    """Parameters that an operation can have."""
    drawn: list[float] = []
    for name in OPERATIONS[op].params:
        if name == "months":
            drawn.append(draw(st.integers(1, months)))
        elif name == "decay":
            drawn.append(draw(st.floats(0.01, 1.0)))
        elif name in ("buckets", "code"):
            drawn.append(draw(st.integers(1, 50)))
        elif name == "seed":
            drawn.append(draw(st.integers(0, 2**53)))
        elif name in ("*ranks", "*values"):
            drawn += draw(
                st.lists(PARAMS, min_size=categories + (name == "*ranks"), max_size=categories + (name == "*ranks"))
            )
        elif name == "*edges":
            drawn += sorted(draw(st.lists(PARAMS, min_size=1, max_size=6)))
        else:
            drawn.append(draw(PARAMS))
    return tuple(sorted(drawn) if op == "clip" else drawn)


@st.composite
def programs(draw: st.DrawFn) -> Contract:
    """A contract with random inputs of every kind and a random program: steps read inputs and earlier steps."""
    months = draw(st.integers(1, 36))
    values = [Drawn("n", NUMBER)]  # a program needs one number, to have a feature at least
    for number in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(list(KINDS)))
        values.append(Drawn(f"c{number}", kind, draw(st.integers(1, 6)) if kind == CATEGORY else 0))
    inputs = tuple(raw_input(value) for value in values)
    if any(value.kind == MONTHLY for value in values):
        values.append(Drawn("mask", MONTHLY))
    else:
        months = 0
    steps = []
    for number in range(draw(st.integers(0, 25))):
        op = draw(st.sampled_from(sorted(OPERATIONS)))
        operation = OPERATIONS[op]
        able = [value for value in values if value.kind in operation.takes]
        if not able or (op == "yearly_change" and months < 13):
            continue
        first = draw(st.sampled_from(able))
        read = [first]
        if operation.inputs == 2:
            monthly = first.kind == MONTHLY
            read.append(draw(st.sampled_from([value for value in able if (value.kind == MONTHLY) == monthly])))
        made = Drawn(f"s{number}", NUMBER)
        if first.kind == MONTHLY and not operation.of_history:
            made.kind = MONTHLY
        elif operation.gives == SAME:
            made.kind, made.categories = first.kind, first.categories
        steps.append(
            Step(op, made.name, tuple(value.name for value in read), params(draw, op, months, first.categories))
        )
        values.append(made)
    able = [value.name for value in values if value.kind in (NUMBER, CATEGORY, DATE)]
    features = tuple(draw(st.lists(st.sampled_from(able), min_size=1, max_size=12)))
    monthly = [value.name for value in values if value.kind == MONTHLY]
    window = tuple(draw(st.lists(st.sampled_from(monthly), max_size=5))) if monthly else ()
    tensors = [GraphInput("features", (len(features),)), GraphInput("history", (months, len(window)))]
    return msgspec.structs.replace(
        contract("random"),
        inputs=inputs,
        months=months,
        program=Program(steps=tuple(steps), features=features, window=window),
        tensors=tuple(tensors if window else tensors[:1]),
    )


def raw_rows(made: Contract, rows: int, numbers: list[float], seed: int) -> RawRows:
    """Rows of the right kinds, of drawn numbers and random ones, a fifth of them missing; some histories are short."""
    random = np.random.default_rng(seed)
    columns, histories = [], []
    for raw in made.inputs:
        if isinstance(raw, HistoryInput):
            months = np.where(
                random.random((rows, made.months)) < 0.5, random.choice(numbers, (rows, made.months)), 0.0
            )
            months += np.where(random.random((rows, made.months)) < 0.5, random.normal(0, 100, months.shape), 0.0)
            months[random.random(months.shape) < 0.2] = np.nan
            months[np.arange(made.months) < random.integers(0, made.months + 1, (rows, 1))] = np.nan
            histories.append(months)
            continue
        if isinstance(raw, CategoryInput):
            column = random.integers(0, len(raw.categories) + 1, rows).astype(float)
        elif isinstance(raw, TextInput):
            column = random.integers(0, 2**53, rows).astype(float)
        elif isinstance(raw, DateInput):
            column = random.choice([random.uniform(-800000, 3000000), 0.0, -1.0, 59.5, 11016.0, 1e300], rows)
            column = np.where(random.random(rows) < 0.8, random.uniform(-10000, 40000, rows), column)
        else:
            column = random.choice(numbers, rows)
        column[random.random(rows) < 0.2] = np.nan
        columns.append(column)
    history = np.stack(histories, axis=1) if histories else np.empty((rows, 0, 0))
    return RawRows(np.stack(columns, axis=1), np.ascontiguousarray(history))


def compiled_log(x: np.ndarray, shift: float) -> np.ndarray:
    from serving.features.operation_kernels import log

    made = np.empty(x.size)
    log(np.ascontiguousarray(x).reshape(-1), made, np.array([float(shift)]))
    return made.reshape(x.shape)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    made=programs(),
    rows=st.sampled_from([1, 2, 7, 8, 9, 127, 128, 129, 300]),
    numbers=st.lists(NUMBERS, min_size=1, max_size=20),
    seed=st.integers(0, 2**32),
)
def test_any_program_gives_the_same_compiled_and_in_numpy(
    made: Contract, rows: int, numbers: list[float], seed: int
) -> None:
    """To the bit. The logarithm is the compiled one on both sides: what follows it may amplify its last bit, and how
    far it is from NumPy's is tested by itself, below.
    """
    raw = raw_rows(made, rows, numbers, seed)
    with patch.dict(OPERATIONS, log=replace(OPERATIONS["log"], reference=compiled_log)):
        expected, got = run_reference(made, raw), compile_program(made).run(raw)
    for one, other in zip(expected, got, strict=True):
        assert one.shape == other.shape
        assert np.array_equal(np.isnan(one), np.isnan(other))
        assert one[~np.isnan(one)].tobytes() == other[~np.isnan(other)].tobytes()


@settings(max_examples=100, deadline=None)
@given(made=programs(), seed=st.integers(0, 2**32))
def test_a_row_gets_the_same_bits_in_every_batch(made: Contract, seed: int) -> None:
    raw, program = raw_rows(made, 150, [1.0, 3.5, -2.0], seed), compile_program(made)
    whole = program.run(raw)
    for row in (0, 7, 127, 128, 149):
        alone = program.run(RawRows(raw.values[row : row + 1], raw.history[row : row + 1]))
        for one, other in zip(whole, alone, strict=True):
            assert one[row : row + 1].tobytes() == other.tobytes()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=300), st.sampled_from([0.0, 1.0, 1e-3]))
def test_the_logarithm_is_within_one_unit_in_the_last_place(x: list[float], shift: float) -> None:
    made = msgspec.structs.replace(
        contract("log"),
        inputs=(NumberInput(name="x", title=text("x"), unit=""),),
        program=Program(steps=(Step("log", "y", ("x",), (shift,)),), features=("y",)),
        tensors=(GraphInput("features", (1,)),),
    )
    values = np.array(x)[:, None]
    from serving.features.operation_kernels import log

    got = np.empty(len(x))
    log(values[:, 0].copy(), got, np.array([shift]))
    expected = np.log(values[:, 0] + shift)
    assert (np.abs(got - expected) <= np.spacing(np.abs(expected))).all()
    assert np.array_equal(
        compile_program(made).run(RawRows(values, np.empty((len(x), 0, 0)))).features[:, 0], got.astype(np.float32)
    )


def test_what_is_generated_from_the_table_is_up_to_date() -> None:
    assert generate.TARGETS["dispatch"].read_text("utf-8") == generate.dispatch()
    assert generate.TARGETS["page"].read_text("utf-8") == generate.page()


SMALL = contract("small")
MONTHS = msgspec.structs.replace(
    SMALL, inputs=(*SMALL.inputs, HistoryInput("sick_days", text("sick days"), "days")), months=12
)


@pytest.mark.parametrize(
    ("made", "step", "reason"),
    [
        (SMALL, Step("cube", "x", ("hours",)), "unknown operation 'cube'"),
        (SMALL, Step("scale", "x", ("hours",), (1.0,)), "scale takes 1 inputs and 2 parameters"),
        (SMALL, Step("missing_flag", "x", ("hours", "quality")), "missing_flag takes 1 inputs"),
        (SMALL, Step("log", "x", ("department",), (1.0,)), "log reads 'department', a category, expected a number"),
        (SMALL, Step("ordinal", "x", ("department",), (1.0, 2.0)), "ranks: got .*, expected 4 ranks"),
        (SMALL, Step("target_encode", "x", ("department",), (1, 2, 3, 4, 5, 6)), "values: got .*, expected 3 values"),
        (SMALL, Step("bucket", "x", ("hours",), (3.0, 1.0)), "edges: got .*, expected ascending edges"),
        (SMALL, Step("clip", "x", ("hours",), (3.0, 1.0)), "low 3.0 is above high 1.0"),
        (SMALL, Step("year", "x", ("hours",)), "year reads 'hours', a number, expected a date"),
        (SMALL, Step("mean", "x", ("hours",), (3.0,)), "mean reads 'hours', a number, expected a monthly"),
        (MONTHS, Step("mean", "x", ("sick_days",), (13.0,)), "months: got 13.0, expected a whole number from 1 to 12"),
        (MONTHS, Step("ewm", "x", ("sick_days",), (3.0, 0.0)), "decay: got 0.0, expected more than 0"),
        (MONTHS, Step("yearly_change", "x", ("sick_days",)), "reads 13 months, the histories have 12"),
        (MONTHS, Step("ratio", "x", ("sick_days", "hours")), "reads monthly and number, expected one kind"),
        (MONTHS, Step("impute", "x", ("sick_days",), (float("inf"),)), "a parameter is no finite number"),
    ],
)
def test_a_program_that_this_gateway_does_not_know_is_refused(made: Contract, step: Step, reason: str) -> None:
    program = Program(steps=(*made.program.steps, step), features=made.program.features)
    with pytest.raises(ContractError, match=reason):
        compile_program(msgspec.structs.replace(made, program=program))


def test_a_feature_is_one_number_and_a_column_of_the_window_is_monthly() -> None:
    features = ("sick_days", *SMALL.program.features[1:])
    with pytest.raises(ContractError, match="'sick_days' is a monthly, expected a number"):
        compile_program(msgspec.structs.replace(MONTHS, program=Program(steps=SMALL.program.steps, features=features)))
    features = ("mask", *SMALL.program.features[1:])
    with pytest.raises(ContractError, match="'mask' is a monthly, expected a number"):
        compile_program(msgspec.structs.replace(MONTHS, program=Program(steps=SMALL.program.steps, features=features)))
    made = msgspec.structs.replace(
        MONTHS,
        program=Program(steps=SMALL.program.steps, features=SMALL.program.features, window=("hours",)),
        tensors=(*SMALL.tensors, GraphInput("history", (12, 1))),
    )
    with pytest.raises(ContractError, match="'hours' is a number, expected a monthly"):
        compile_program(made)


def test_a_program_of_another_version_is_refused() -> None:
    program = Program(version=2, steps=SMALL.program.steps, features=SMALL.program.features)
    with pytest.raises(ContractError, match="version 2, this gateway runs version 1"):
        compile_program(msgspec.structs.replace(SMALL, program=program))
