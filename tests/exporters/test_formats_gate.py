"""The gateway's own loader has the last word on a version before it is published."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from exporters.errors import ParityError
from exporters.formats import golden, parity
from exporters.formats.perturb import perturbed
from exporters.models.inputs import tensors
from exporters.publishing import gate
from tests.exporters import random_models as models

pytestmark = pytest.mark.unit
CONTRACT = models.attrition_contract()


@pytest.fixture
def files(both: Path) -> dict[str, bytes]:
    """Of a version that is well."""
    version = both / CONTRACT.model / "1"
    return {name: (version / name).read_bytes() for name in ("model.onnx", "contract.json", "golden.npz")}


def columns(rows: int) -> dict[str, np.ndarray]:
    return perturbed(CONTRACT, models.table(300, 2).columns, rows, 2)


@pytest.mark.parametrize("rows", [1, 8, 1500])
def test_calls_of_several_sizes_give_the_same_bits_as_one_in_the_same_order(files: dict[str, bytes], rows):
    answers = gate.gateway_answers(CONTRACT, files, columns(rows))
    whole = parity.onnx_answers(files["model.onnx"], tensors(CONTRACT, columns(rows)))
    assert answers.name == "gateway"
    assert answers.outputs.keys() == whole.outputs.keys()
    for name, values in whole.outputs.items():
        assert values.shape[0] == rows
        assert np.array_equal(answers.outputs[name], values)


def test_golden_rows_that_the_graph_does_not_give_are_refused(files: dict[str, bytes], both: Path):
    named = golden.load(both / CONTRACT.model / "1" / "golden.npz", CONTRACT)
    named["output.probability_3m"][5] += 0.01
    refusal = "gateway: refuses the version: onnxruntime: golden rows: output probability_3m"
    with pytest.raises(ParityError, match=refusal):
        gate.gateway_answers(CONTRACT, {**files, "golden.npz": golden.to_bytes(named)}, columns(10))


def test_a_contract_of_another_program_is_refused(files: dict[str, bytes]):
    scale, *others = CONTRACT.program.steps
    steps = (msgspec.structs.replace(scale, params=(11.0, 5.0)), *others)
    other = msgspec.structs.replace(CONTRACT, program=msgspec.structs.replace(CONTRACT.program, steps=steps))
    with pytest.raises(ParityError, match="gateway: refuses the version: golden rows: this gateway's features differ"):
        gate.gateway_answers(other, {**files, "contract.json": other.to_json()}, columns(10))


def test_a_row_that_the_gateway_would_not_take_is_named_by_its_column_and_not_by_its_value(files: dict[str, bytes]):
    rows = columns(100)
    rows["tenure"][70] = 4711.0
    with pytest.raises(ParityError, match=r"^gateway: refuses a row: tenure: not what the contract allows$"):
        gate.gateway_answers(CONTRACT, files, rows)
