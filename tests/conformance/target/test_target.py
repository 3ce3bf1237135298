"""A server of the model repository answers as its protocol and the trained models say."""

from pathlib import Path

import numpy as np
import pytest

from tests.conformance.target import models
from tests.conformance.target.cases import CASES, GATEWAY, TRITON
from tests.conformance.target.clients import TF_SERVING as TF_SERVING_PROTOCOL
from tests.conformance.target.clients import TRITON as TRITON_PROTOCOL
from tests.conformance.target.clients import Answer, TfServing
from tests.conformance.target.conftest import ADDRESS, Target
from tests.conformance.target.models import Model, Tensors
from tests.support.tf_serving_reference import TfServingReference

pytestmark = pytest.mark.conformance
TOLERANCE = 1e-5


def check(model: Model, answer: Answer, first: int, n: int) -> None:
    """Hold an answer to the trained model's for golden rows first ... first + n, a number a row as [n] or [n, 1].

    Numbers within the tolerance; a label may differ only where a decision is that close.
    """
    for name, values in expected(model, first, n).items():
        got = answer.outputs[name]
        assert got.dtype == values.dtype, name
        assert got.shape in (values.shape, (n, 1)) if values.ndim == 1 else got.shape == values.shape, name
        wrong = np.abs(got.reshape(values.shape) - values) > TOLERANCE
        if values.dtype.kind == "i":
            wrong &= ~close_calls(model, first, n)
        assert not wrong.any(), f"{name}: {int(wrong.sum())} of {values.size} differ"


def expected(model: Model, first: int, n: int) -> Tensors:
    """What the trained model answered for these golden rows."""
    return {name: values[first : first + n] for name, values in model.expected.items()}


def close_calls(model: Model, first: int, n: int) -> np.ndarray:
    """Rows whose two best classes, or whose probability and a threshold, are no further apart than the tolerance."""
    close = np.zeros(n, bool)
    made = expected(model, first, n)
    for output in model.contract["outputs"]:
        if output.get("threshold") is not None:
            close |= np.abs(made[output["tensor"]] - np.float32(output["threshold"])) <= TOLERANCE
        elif "probabilities" in output or "classes" in output:
            best = np.sort(made[output.get("probabilities", "probabilities")], axis=1)
            close |= best[:, -1] - best[:, -2] <= TOLERANCE
    return close


def test_server_and_models_are_ready(target: Target, model: Model) -> None:
    if target.client.protocol == TRITON_PROTOCOL:
        assert target.client.live()
    assert target.client.ready(model.name)
    assert target.client.ready(model.name, model.version)


def test_metadata_describes_the_tensors_of_the_contract(target: Target, model: Model) -> None:
    inputs, outputs = target.client.described(model.name)
    for tensor in model.contract["tensors"]:
        assert inputs[tensor["name"]] == (np.float32, (-1, *tensor["shape"]))
    for name, values in model.expected.items():
        kind, shape = outputs[name]
        assert kind == values.dtype
        assert shape == (-1, *(values.shape[1:] or ((1,) if target.server == TRITON else ())))
    more = (inputs.keys() - model.given.keys()) | (outputs.keys() - model.expected.keys())
    assert not more or target.server == GATEWAY, f"only the gateway adds tensors to a model: {sorted(more)}"


def test_every_golden_row_is_answered_as_the_trained_model_did(target: Target, model: Model) -> None:
    for first in range(0, model.rows, 64):
        given = {name: values[first : first + 64] for name, values in model.given.items()}
        answer = target.client.ask(model.name, given)
        check(model, answer, first, len(given["features"]))
        assert answer.version == model.version


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_a_row_is_answered_alike_in_calls_of_any_size(rows: int, target: Target, model: Model) -> None:
    whole = target.client.ask(model.name, model.first(64)).outputs
    for first in range(0, 64, max(rows, 8)):
        given = {name: values[first : first + rows] for name, values in model.first(64).items()}
        n = len(given["features"])
        for name, values in target.client.ask(model.name, given).outputs.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(values, whole[name][first : first + n], rtol=0, atol=1e-6)
            else:
                assert values.tolist() == whole[name][first : first + n].tolist()


def test_a_number_a_row_is_one_number_a_row(target: Target, model: Model) -> None:
    """As [n]; Triton, whose tensors have at least one dimension besides that of the rows, sends [n, 1]."""
    outputs = target.client.ask(model.name, model.first(3)).outputs
    for name, values in expected(model, 0, 3).items():
        if values.ndim == 1:
            assert outputs[name].shape == ((3, 1) if target.server == TRITON else (3,))


def test_a_version_that_is_asked_for_answers(target: Target, model: Model) -> None:
    answer = target.client.ask(model.name, model.first(2), model.version)
    assert answer.version == model.version
    check(model, answer, 0, 2)


def test_only_the_outputs_that_are_asked_for_come_back(target: Target, model: Model) -> None:
    for name in model.expected:
        answer = target.client.ask(model.name, model.first(2), outputs=[name])
        assert list(answer.outputs) == [name]
    more = set(target.client.ask(model.name, model.first(2)).outputs) - model.expected.keys()
    assert not more or target.server == GATEWAY, f"only the gateway adds outputs: {sorted(more)}"


def test_columns_by_name_give_the_answers_of_the_whole_tensors(target: Target, model: Model) -> None:
    """Only the gateway makes features; TF Serving takes features by name; Triton takes a model's tensors only."""
    if target.server == GATEWAY:
        answer = target.client.ask(model.name, model.raw, signature="serving_default")
        upright = {name: cells[:, None] if cells.ndim == 1 else cells for name, cells in model.raw.items()}
        again = target.client.ask(model.name, upright, signature="serving_default")
        assert {name: values.tobytes() for name, values in again.outputs.items() if values.dtype.kind == "f"} == {
            name: values.tobytes() for name, values in answer.outputs.items() if values.dtype.kind == "f"
        }
        check(model, answer, 0, model.rows)
    elif target.client.protocol == TF_SERVING_PROTOCOL:
        check(model, target.client.ask(model.name, model.by_name(), signature="serving_default"), 0, model.rows)
    else:
        assert CASES["unknown input"].outcome(target.client, model) == "INVALID_ARGUMENT"


def test_a_request_out_of_the_ordinary_has_the_outcome_that_is_known(target: Target, case: str, model: Model) -> None:
    assert CASES[case].outcome(target.client, model) in CASES[case].allowed(target.server)


def test_every_known_difference_stands_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "compatibility.md").read_text("utf-8")
    for case in CASES.values():
        for server, difference in case.differences.items():
            assert f"{server} {difference.why}" in page


@pytest.mark.skipif(bool(ADDRESS), reason="of the suite itself")
def test_a_server_that_leaves_a_row_out_is_found() -> None:
    model = models.load("performance_model")
    with TfServingReference(models.REPOSITORY, wrong_shape=True, delay_ms=1) as server:
        answer = TfServing(server.grpc).ask(model.name, model.first(5))
    with pytest.raises(AssertionError, match=r"probabilities|label"):
        check(model, answer, 0, 5)
