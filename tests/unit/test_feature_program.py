"""The compiled feature program is held to its NumPy reference, bit for bit."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.contract import Contract, NumberInput, Program, Step
from serving.errors import ContractError
from serving.features import kernels
from serving.features.operations import OPERATIONS
from serving.features.program import compile_program, run_reference
from tests.support.models import contract, text

pytestmark = pytest.mark.unit

NUMBERS = st.floats(-1e9, 1e9) | st.sampled_from([np.nan, 0.0, -0.0, 1.0, 2.0, 1e-300, 1e300])
PARAMS = st.floats(-1e6, 1e6).filter(lambda value: value != 0)


@st.composite
def programs(draw: st.DrawFn) -> Contract:
    """A contract with random columns and a random program over them: steps read columns and earlier steps."""
    columns = [f"c{number}" for number in range(draw(st.integers(1, 6)))]
    names, steps = list(columns), []
    for number in range(draw(st.integers(0, 25))):
        op = draw(st.sampled_from(sorted(OPERATIONS)))
        operation = OPERATIONS[op]
        inputs = tuple(draw(st.sampled_from(names)) for _ in range(operation.inputs))
        params = tuple(draw(PARAMS) for _ in operation.params)
        steps.append(Step(op=op, into=f"s{number}", inputs=inputs, params=sorted(params) if op == "clip" else params))
        names.append(f"s{number}")
    features = tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=12)))
    base = contract("random")
    return msgspec.structs.replace(
        base,
        inputs=tuple(NumberInput(name=name, title=text(name), unit="") for name in columns),
        program=Program(steps=tuple(steps), features=features),
        tensors=(msgspec.structs.replace(base.tensors[0], shape=(len(features),)),),
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data(), made=programs())
def test_any_program_gives_the_same_bits_compiled_and_in_numpy(data: st.DataObject, made: Contract) -> None:
    rows = data.draw(st.sampled_from([1, 2, 7, kernels.BLOCK - 1, kernels.BLOCK, kernels.BLOCK + 1, 300]))
    raw = data.draw(hnp.arrays(np.float64, (rows, len(made.inputs)), elements=NUMBERS, fill=NUMBERS))
    with np.errstate(all="ignore"):
        expected = run_reference(made, raw)
        got = compile_program(made).run(raw)
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    assert got[~np.isnan(got)].tobytes() == expected[~np.isnan(expected)].tobytes()


def test_every_operation_has_a_kernel_under_its_code() -> None:
    codes = {name: getattr(kernels, name.upper()) for name in OPERATIONS}
    assert codes == {name: operation.code for name, operation in OPERATIONS.items()}


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Step(op="cube", into="x", inputs=("hours",)), "unknown operation 'cube'"),
        (Step(op="scale", into="x", inputs=("hours",), params=(1.0,)), "scale takes 1 inputs and 2 parameters"),
        (Step(op="missing_flag", into="x", inputs=("hours", "quality")), "missing_flag takes 1 inputs"),
    ],
)
def test_a_program_that_this_gateway_does_not_know_is_refused(step: Step, reason: str) -> None:
    made = contract("small")
    program = Program(steps=(*made.program.steps, step), features=made.program.features)
    with pytest.raises(ContractError, match=reason):
        compile_program(msgspec.structs.replace(made, program=program))


def test_a_program_of_another_version_is_refused() -> None:
    made = contract("small")
    program = Program(version=2, steps=made.program.steps, features=made.program.features)
    with pytest.raises(ContractError, match="version 2, this gateway runs version 1"):
        compile_program(msgspec.structs.replace(made, program=program))
