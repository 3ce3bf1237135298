"""Odd forms of a row mean the same in every protocol; what is too much is refused before anything is made of it."""

import asyncio
import json
import time

import pytest

from serving.errors import InvalidInput
from serving.pipeline import Pipeline
from serving.protocols.epm import Epm
from serving.protocols.kserve import KServe
from serving.protocols.method import Call
from serving.protocols.rest_kserve import RestKServe
from serving.protocols.rest_tf import RestTf
from serving.protocols.tf_serving import TfServing
from serving.repository.repository import Repository
from serving.settings import Settings
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs
from tests.support.models import write_version

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    root = tmp_path_factory.mktemp("repository")
    write_version(root)
    repository = Repository(root)
    repository.scan()
    return Pipeline(repository, Settings(inline_rows=1024, max_rows=1000))


def rest(pipeline: Pipeline, request: object) -> dict:
    body = json.dumps(request).encode()
    return json.loads(asyncio.run(RestTf(pipeline).predict(body, Call(None), "small", None, None)))


def infer(pipeline: Pipeline, request: object) -> dict:
    return json.loads(asyncio.run(RestKServe(pipeline).infer(json.dumps(request).encode(), Call(None), "small", None)))


def test_one_value_in_a_list_is_that_value_whatever_the_other_rows_are(pipeline: Pipeline) -> None:
    plain = rest(pipeline, {"instances": [{"hours": 40, "quality": 3}, {"hours": 41}]})
    assert rest(pipeline, {"instances": [{"hours": [40], "quality": [3]}, {"hours": [41]}]}) == plain
    assert rest(pipeline, {"instances": [{"hours": [40], "quality": 3}, {"hours": 41}]}) == plain


def test_rows_in_which_everything_is_missing_are_rows(pipeline: Pipeline) -> None:
    classify = tfs.ClassificationRequest()
    classify.model_spec.name = "small"
    classify.input.example_list.examples.add()
    for ask in (
        lambda: rest(pipeline, {"instances": [{}]}),
        lambda: rest(pipeline, {"instances": [{"hours": None}]}),
        lambda: asyncio.run(TfServing(pipeline).classify(classify.SerializeToString(), Call(None))),
    ):
        with pytest.raises(InvalidInput, match="hours: got no value in row 0"):
            ask()


def test_an_infinite_category_is_refused_as_array_and_as_list(pipeline: Pipeline) -> None:
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    request.columns.add(name="hours").doubles.values.append(40)
    request.columns.add(name="department").doubles.values.append(float("inf"))
    with pytest.raises(InvalidInput, match="department: got inf"):
        asyncio.run(Epm(pipeline).predict(request.SerializeToString(), Call(None)))
    with pytest.raises(InvalidInput, match="department: got a number that is not finite"):
        rest(pipeline, {"inputs": {"hours": [40], "department": [float("inf")]}})


def test_a_ready_tensor_that_comes_twice_is_refused(pipeline: Pipeline) -> None:
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    for _ in range(2):
        request.tensors.add(name="features", shape=[1, 8], values=[0.0] * 8)
    with pytest.raises(InvalidInput, match="features: got the same tensor twice"):
        asyncio.run(Epm(pipeline).predict(request.SerializeToString(), Call(None)))


@pytest.mark.parametrize(
    ("datatype", "value", "sentence"),
    [
        ("INT32", 40.5, "got 40.5 in a tensor of INT32"),
        ("BOOL", 40, "got 40 in a tensor of BOOL"),
        ("FP64", True, "got true in a tensor of FP64"),
        ("BYTES", 40, "got 40 in a tensor of BYTES"),
        ("FP64", "40", "got a text in a tensor of FP64"),
    ],
)
def test_data_that_its_datatype_cannot_hold_is_refused(
    datatype: str, value: object, sentence: str, pipeline: Pipeline
) -> None:
    tensor = {"name": "hours", "shape": [1], "datatype": datatype, "data": [value]}
    with pytest.raises(InvalidInput, match=sentence):
        infer(pipeline, {"inputs": [tensor]})


def test_parameters_of_an_output_are_refused_over_rest_as_over_grpc(pipeline: Pipeline) -> None:
    tensor = {"name": "hours", "shape": [1], "datatype": "FP64", "data": [40]}
    with pytest.raises(InvalidInput, match=r"outputs.label.parameters: got parameters"):
        infer(pipeline, {"inputs": [tensor], "outputs": [{"name": "label", "parameters": {"classification": 1}}]})


def test_rows_as_objects_cost_about_what_columns_cost(pipeline: Pipeline) -> None:
    """A list of n cells made for each of n rows would cost a hundred times as much."""
    rows = {"instances": [{"hours": 40, "overtime": 1, "quality": 3, "department": "sales"}] * 1000}
    columns = {"inputs": {"hours": [40] * 1000, "overtime": [1] * 1000, "quality": [3] * 1000}}
    columns["inputs"]["department"] = ["sales"] * 1000

    def seconds(request: object) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            rest(pipeline, request)
            times.append(time.perf_counter() - began)
        return min(times)

    assert seconds(rows) < 5 * seconds(columns)


def test_too_many_rows_are_refused_by_number_in_every_form(pipeline: Pipeline) -> None:
    many = 1001
    classify = tfs.ClassificationRequest()
    classify.model_spec.name = "small"
    classify.input.example_list.examples.extend([classify.input.example_list.examples.add()] * (many - 1))
    texts = v2.ModelInferRequest(model_name="small")
    texts.inputs.add(name="department", datatype="BYTES", shape=[many])
    texts.raw_input_contents.append(b"\0\0\0\0" * many)
    typed = v1.PredictRequest(model=v1.ModelRef(name="small"))
    typed.columns.add(name="department").strings.values.extend([""] * many)
    predict = tfs.PredictRequest()
    predict.model_spec.name = "small"
    tensor = predict.inputs["department"]
    tensor.dtype = 7
    tensor.tensor_shape.dim.add().size = many
    tensor.string_val.extend([b""] * many)
    for ask in (
        lambda: rest(pipeline, {"instances": [{}] * many}),
        lambda: rest(pipeline, {"inputs": {"hours": [40] * many}}),
        lambda: asyncio.run(TfServing(pipeline).classify(classify.SerializeToString(), Call(None))),
        lambda: asyncio.run(TfServing(pipeline).predict(predict.SerializeToString(), Call(None))),
        lambda: asyncio.run(KServe(pipeline).infer(texts.SerializeToString(), Call(None))),
        lambda: asyncio.run(Epm(pipeline).predict(typed.SerializeToString(), Call(None))),
    ):
        with pytest.raises(InvalidInput, match=f"got {many} rows, expected at most 1000 in one call"):
            ask()


def test_texts_beyond_what_the_shape_says_are_not_collected(pipeline: Pipeline) -> None:
    request = v2.ModelInferRequest(model_name="small")
    request.inputs.add(name="department", datatype="BYTES", shape=[2])
    request.raw_input_contents.append(b"\0\0\0\0" * 100_000)
    with pytest.raises(InvalidInput, match="department: got more than 2 texts"):
        asyncio.run(KServe(pipeline).infer(request.SerializeToString(), Call(None)))
