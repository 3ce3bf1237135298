"""The compiled writers say byte for byte what the Python path says of the same prediction."""

import asyncio
from functools import cache
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.cache.layout import OutputLayout
from serving.contract import ClassOutput, Contract, Output, ProbabilityOutput, ScalarOutput, VectorOutput
from serving.features.program import compile_program
from serving.features.rows import RowSchema
from serving.listeners.h2 import answer_kernels, epm_kernels, kserve_kernels, tf_serving_kernels
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2.flat import flatten
from serving.pipeline import Prediction, RowWarning, WarningCode
from serving.protocols.answers import answer_specs
from serving.protocols.epm import Epm
from serving.protocols.kserve import KServe
from serving.protocols.method import Call
from serving.protocols.tf_serving import TfServing
from serving.repository.served import ServedModel
from serving.store.reader import RecordReader
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs
from tests.support.models import GRADE, contract, text

pytestmark = pytest.mark.unit

STATES = (WarningCode.MISSING, WarningCode.UNKNOWN_CATEGORY, WarningCode.OUT_OF_TRAINING_RANGE, WarningCode.STALE)
LEAVES = ProbabilityOutput(name="leaves", title=text("leaves"), tensor="probability")
DECIDES = ProbabilityOutput(
    name="leaves", title=text("leaves"), tensor="probability", threshold=0.3, label="will_leave"
)
SALES = ScalarOutput(name="销售", title=text("sales"), tensor="scalar", unit="CNY")
WEIGHTS = VectorOutput(name="weights", title=text("weights"), tensor="vector", names=("x", "研发"))
STARS = ClassOutput(name="stars", title=text("stars"), classes=("低", "高"), probabilities="p", label="z")
MODELS: dict[str, tuple[tuple[Output, ...], float]] = {
    "classes": (GRADE, 0.5),
    "decides": ((DECIDES,), 0.7),  # as float32 and as float64 not the same bound
    "numbers": ((LEAVES, SALES, WEIGHTS), 0.7),
    "多": ((SALES, STARS, WEIGHTS, LEAVES), 0.1),
}


@cache
def served_model(name: str) -> ServedModel:
    outputs, least = MODELS[name]
    made: Contract = msgspec.structs.replace(contract(name, outputs), min_coverage=least)
    return ServedModel(name, 300, "digest", made, RowSchema(made), compile_program(made), RecordReader(made))


def prediction_of(served: ServedModel, n: int, ready: bool, seed: int) -> tuple[Prediction, Any, int, int]:
    """(a prediction of n rows, its marks, how many rows are low, how many inputs are marked)."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, (kind, shape) in served.contract.graph_outputs().items():
        if kind == "float32":
            tensors[name] = random.normal(size=(n, *shape)).astype(np.float32)
        else:
            classes = getattr(served.decision, "classes", ("no", "yes"))
            tensors[name] = random.integers(0, len(classes), n).astype(np.int32)
    margin = None if served.decision is None else random.random(n).astype(np.float32)
    if ready:
        return Prediction(served, n, tensors, margin, None, ()), np.zeros((n, 4), np.uint8), 0, 0
    coverage = random.choice(np.array([0, 0.05, 0.5, 0.7, 0.71, 1], np.float32), n)
    marks = np.where(random.random((n, 4)) < random.choice([0, 0.1, 0.9]), random.integers(0, 16, (n, 4)), 0)
    marks = marks.astype(np.uint8)
    warnings = []
    if (rows := np.flatnonzero(coverage < served.contract.min_coverage)).size:
        warnings.append(RowWarning(WarningCode.LOW_COVERAGE, "", rows))
    for number, column in enumerate(served.schema.names):
        for state, code in enumerate(STATES):
            if (rows := np.flatnonzero(marks[:, number] & 1 << state)).size:
                warnings.append(RowWarning(code, column, rows))
    low = int((coverage.astype(np.float64) < served.contract.min_coverage).sum())
    return Prediction(served, n, tensors, margin, coverage, tuple(warnings)), marks, low, int((marks != 0).sum())


NO_INFERENCE: Any = SimpleNamespace(cache=None)
"""These models have no backends."""


class OneAnswer:
    """A pipeline that has one answer."""

    max_rows = 1 << 20

    def __init__(self, prediction: Prediction) -> None:
        self.repository = SimpleNamespace(resolve=lambda *_: prediction.served)
        self._prediction = prediction

    async def predict(self, *_: object) -> Prediction:
        return self._prediction


def written(protocol: str, body: bytes, prediction: Prediction, marks: Any, low: int, marked: int) -> bytes:
    """What the kernels write to this request; nothing when they leave it."""
    n, ready, served = prediction.rows, prediction.coverage is None, prediction.served
    made = flatten(served, NO_INFERENCE, loops=1)
    data = np.frombuffer(bytearray(body), np.uint8)
    request, chosen = np.zeros(to.REQUEST, np.int64), np.zeros(to.MOST_WANTED, np.int64)
    columns = np.zeros((to.MOST_COLUMNS, to.COLUMN), np.int64)
    wanted = np.zeros((to.MOST_WANTED, 2), np.int64)
    none = np.zeros(0, np.float32)
    margin = none if prediction.margin is None else prediction.margin
    coverage = none if prediction.coverage is None else prediction.coverage
    rows = OutputLayout(served.contract.graph_outputs()).pack(prediction.tensors, n).view(np.int32)
    out = np.zeros(2000 + 2000 * n, np.uint8)
    answer = (n, ready, rows, margin, coverage, marks, low, marked, out, 7)
    reader = {
        "epm": epm_kernels.read_epm,
        "kserve": kserve_kernels.read_kserve,
        "tf": tf_serving_kernels.read_tf_serving,
    }
    assert reader[protocol](data, 0, len(data), request, columns, wanted) == to.READ
    if protocol == "epm":
        return out[7 : epm_kernels.write_epm(made.words, data, request, *answer)].tobytes()
    state, count = answer_kernels.choose(made.words, data, request, wanted, ready, chosen)
    if state == to.LEAVE:
        return b""
    write = kserve_kernels.write_kserve if protocol == "kserve" else tf_serving_kernels.write_tf_serving
    return out[7 : write(made.words, data, request, chosen, count, *answer)].tobytes()


predictions = st.builds(
    prediction_of,
    st.sampled_from([*MODELS]).map(served_model),
    st.sampled_from([1, 2, 7, 130, 300]),
    st.booleans(),
    st.integers(0, 1000),
)


def some_names(data: st.DataObject, prediction: Prediction) -> list[str]:
    specs = answer_specs(prediction.served.contract, ready=prediction.coverage is None)
    return data.draw(st.lists(st.sampled_from([spec.name for spec in specs]), unique=True))


@settings(deadline=None)
@given(predictions, st.sampled_from(["", "a", "x" * 200]))
def test_epm(made: tuple[Prediction, Any, int, int], request_id: str) -> None:
    body = v1.PredictRequest(request_id=request_id, model=v1.ModelRef(name="m")).SerializeToString()
    expected = asyncio.run(Epm(OneAnswer(made[0])).predict(body, Call(None)))
    assert written("epm", body, *made) == expected


@settings(deadline=None)
@given(predictions, st.booleans(), st.sampled_from(["", "a", "x" * 200]), st.data())
def test_kserve_typed_and_raw(
    made: tuple[Prediction, Any, int, int], raw: bool, request_id: str, data: st.DataObject
) -> None:
    request = v2.ModelInferRequest(model_name="m", id=request_id)
    column = request.inputs.add(name="hours", datatype="FP32", shape=[1])
    if raw:
        request.raw_input_contents.append(bytes(4))
    else:
        column.contents.fp32_contents.append(0)
    for name in some_names(data, made[0]):
        request.outputs.add(name=name)
    body = request.SerializeToString()
    expected = asyncio.run(KServe(OneAnswer(made[0])).infer(body, Call(None)))
    assert written("kserve", body, *made) == expected


@settings(deadline=None)
@given(predictions, st.sampled_from(["", "serving_default", "features"]), st.data())
def test_tf_serving(made: tuple[Prediction, Any, int, int], signature: str, data: st.DataObject) -> None:
    request = tfs.PredictRequest(output_filter=some_names(data, made[0]))
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    body = request.SerializeToString()
    expected = asyncio.run(TfServing(OneAnswer(made[0])).predict(body, Call(None)))
    assert written("tf", body, *made) == expected


@pytest.mark.parametrize("names", [["margin", "margin"], ["elsewhere"], ["margi"], [""], ["label", "coverage"]])
def test_names_of_outputs_that_are_unknown_or_asked_for_twice_are_left_to_python(names: list[str]) -> None:
    made = prediction_of(served_model("classes"), 2, True, 0)
    request = tfs.PredictRequest(output_filter=names)
    request.model_spec.name = "m"
    assert written("tf", request.SerializeToString(), *made) == b""
    infer = v2.ModelInferRequest(model_name="m", outputs=[{"name": name} for name in names])
    if all(names):
        assert written("kserve", infer.SerializeToString(), *made) == b""


def test_a_label_that_no_class_has_reads_nothing_outside() -> None:
    prediction, marks, low, marked = prediction_of(served_model("classes"), 2, False, 0)
    prediction.tensors["label"][:] = (-1, 7)
    request = tfs.PredictRequest(output_filter=["grade"])
    request.model_spec.name = "m"
    answer = tfs.PredictResponse.FromString(written("tf", request.SerializeToString(), prediction, marks, low, marked))
    assert answer.outputs["grade"].string_val == [b"C", b"C"]
