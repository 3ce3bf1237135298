"""What else tensorflow-serving-api asks: metadata, status, Classify, Regress, filters, versions and labels."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.conformance.clients import post, tensorflow_serving

pytestmark = pytest.mark.conformance

ROWS = [{"hours": 40.0, "department": "研发"}, {"hours": 55.0, "overtime": 12.0}]


@pytest.fixture(scope="module")
def channel(small):
    with grpc.insecure_channel(small.grpc) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def status(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def _example(row):
    example = tf.train.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.append(value)
    return example


def _classify(stub, rows, context=None):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "small"
    if context is None:
        request.input.example_list.examples.extend(map(_example, rows))
    else:
        request.input.example_list_with_context.examples.extend(map(_example, rows))
        request.input.example_list_with_context.context.CopyFrom(_example(context))
    return stub.Classify(request, 10.0)


def _probabilities(response):
    return [[entry.score for entry in row.classes] for row in response.result.classifications]


def test_metadata_unpacks_into_the_official_signature_map(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "small"
    response = stub.GetModelMetadata(request, 10.0)
    described = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(described)
    assert (response.model_spec.name, response.model_spec.version.value) == ("small", 2)
    raw = described.signature_def["serving_default"]
    assert raw.method_name == "tensorflow/serving/predict"
    assert {name: info.dtype for name, info in raw.inputs.items()} == {
        "hours": types_pb2.DT_DOUBLE,
        "overtime": types_pb2.DT_DOUBLE,
        "quality": types_pb2.DT_DOUBLE,
        "department": types_pb2.DT_STRING,
    }
    assert [dim.size for dim in raw.outputs["probabilities"].tensor_shape.dim] == [-1, 3]
    assert raw.outputs["label"].dtype == types_pb2.DT_INT32
    ready = described.signature_def["features"]
    assert [dim.size for dim in ready.inputs["features"].tensor_shape.dim] == [-1, 8]
    assert ready.inputs["features"].dtype == types_pb2.DT_FLOAT


def test_what_metadata_promises_is_what_predict_returns(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "numbers"
    described = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(request, 10.0).metadata["signature_def"].Unpack(described)
    promised = described.signature_def["serving_default"].outputs
    ask = predict_pb2.PredictRequest()
    ask.model_spec.name = "numbers"
    ask.inputs["hours"].CopyFrom(tf.make_tensor_proto([40.0, 50.0]))
    outputs = stub.Predict(ask, 10.0).outputs
    assert outputs.keys() == promised.keys() == {"probability", "scalar", "vector", "ranking", "coverage", "warnings"}
    for name, tensor in outputs.items():
        assert tensor.dtype == promised[name].dtype
        assert [dim.size for dim in tensor.tensor_shape.dim][1:] == [
            dim.size for dim in promised[name].tensor_shape.dim
        ][1:]


def test_metadata_without_a_field_or_with_an_unknown_one_is_invalid(stub):
    for fields in ([], ["graph"]):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = "small"
        with pytest.raises(grpc.RpcError) as raised:
            stub.GetModelMetadata(request, 10.0)
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_status_lists_served_versions_newest_first(status):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "small"
    entries = status.GetModelStatus(request, 10.0).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(entry.version, entry.state, entry.status.error_code) for entry in entries] == [
        (2, available, 0),
        (1, available, 0),
    ]
    request.model_spec.version.value = 1
    assert [entry.version for entry in status.GetModelStatus(request, 10.0).model_version_status] == [1]


@pytest.mark.parametrize("unknown", [{"name": "nobody"}, {"name": "small", "version": 9}])
def test_status_of_what_is_not_there_is_not_found(unknown, status):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = unknown["name"]
    if "version" in unknown:
        request.model_spec.version.value = unknown["version"]
    with pytest.raises(grpc.RpcError) as raised:
        status.GetModelStatus(request, 10.0)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_classify_gives_the_classes_and_scores_of_predict(stub, small):
    columns = {"hours": np.array([40.0, 55.0]), "overtime": np.array([np.nan, 12.0]), "department": ["研发", ""]}
    (expected,) = tensorflow_serving(small, "small", [columns])
    response = _classify(stub, ROWS)
    assert [entry.label for entry in response.result.classifications[0].classes] == ["A", "B", "C"]
    got = np.array(_probabilities(response), np.float32)
    assert got.tobytes() == expected.probabilities.tobytes()
    assert response.model_spec.version.value == 2


def test_a_context_holds_for_all_examples_and_an_example_overrides_it(stub):
    context = {"hours": 40.0, "department": "研发"}
    together = _classify(stub, [{"overtime": 5.0}, {"hours": 55.0}], context)
    spelled = _classify(stub, [{**context, "overtime": 5.0}, {**context, "hours": 55.0}])
    assert _probabilities(together) == _probabilities(spelled)


def test_whole_numbers_in_an_example_mean_the_same_as_fractions(stub):
    assert _probabilities(_classify(stub, [{"hours": 40}])) == _probabilities(_classify(stub, [{"hours": 40.0}]))


def test_an_empty_feature_in_an_example_is_missing(stub):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "small"
    example = _example({"hours": 40.0})
    example.features.feature["overtime"].float_list.SetInParent()
    example.features.feature["quality"].SetInParent()
    request.input.example_list.examples.append(example)
    assert _probabilities(stub.Classify(request, 10.0)) == _probabilities(_classify(stub, [{"hours": 40.0}]))


def test_regress_gives_the_first_number_of_the_model(stub):
    request = regression_pb2.RegressionRequest()
    request.model_spec.name = "numbers"
    request.input.example_list.examples.extend([_example({"hours": 40.0}), _example({"hours": 55.0})])
    values = [entry.value for entry in stub.Regress(request, 10.0).result.regressions]
    ask = predict_pb2.PredictRequest()
    ask.model_spec.name = "numbers"
    ask.inputs["hours"].CopyFrom(tf.make_tensor_proto([40.0, 55.0]))
    expected = tf.make_ndarray(stub.Predict(ask, 10.0).outputs["probability"])
    assert np.array(values, np.float32).tobytes() == expected.tobytes()


def test_regress_of_a_classifier_is_invalid(stub):
    regress = regression_pb2.RegressionRequest()
    regress.model_spec.name = "small"
    regress.input.example_list.examples.append(_example(ROWS[0]))
    with pytest.raises(grpc.RpcError) as raised:
        stub.Regress(regress, 10.0)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("feature", "value"), [("hours", "text"), ("nobody", 1.0), ("overtime", [1.0, 2.0])], ids=["type", "name", "two"]
)
def test_an_example_that_cannot_be_is_invalid(feature, value, stub):
    example = _example({"hours": 40.0})
    values = value if isinstance(value, list) else [value]
    for one in values:
        made = _example({feature: one}).features.feature[feature]
        example.features.feature[feature].MergeFrom(made)
    if feature == "hours":
        example.features.feature["hours"].CopyFrom(_example({"hours": "text"}).features.feature["hours"])
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "small"
    request.input.example_list.examples.append(example)
    with pytest.raises(grpc.RpcError) as raised:
        stub.Classify(request, 10.0)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details().startswith(f"{feature}: ")


def test_examples_without_end_of_unknown_names_are_refused_at_once(stub):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "small"
    request.input.example_list.examples.extend(_example({f"n{number}": 1.0}) for number in range(20000))
    with pytest.raises(grpc.RpcError) as raised:
        stub.Classify(request, 10.0)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def _ask(stub, **spec):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "small"
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    request.model_spec.signature_name = spec.get("signature", "")
    request.output_filter.extend(spec.get("outputs", ()))
    request.inputs["hours"].CopyFrom(tf.make_tensor_proto([40.0]))
    return stub.Predict(request, 10.0)


def test_the_output_filter_chooses_outputs(stub):
    everything = _ask(stub)
    chosen = _ask(stub, outputs=["grade", "coverage"])
    assert set(chosen.outputs) == {"grade", "coverage"}
    assert chosen.outputs["grade"] == everything.outputs["grade"]
    assert set(everything.outputs) == {"probabilities", "label", "grade", "margin", "coverage", "warnings"}


def test_an_unknown_name_in_the_output_filter_is_invalid(stub):
    with pytest.raises(grpc.RpcError) as raised:
        _ask(stub, outputs=["grade", "nobody"])
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "nobody" in raised.value.details()


def test_version_and_label_choose_and_the_answer_says_which_version_it_is_from(stub):
    newest, first, stable = _ask(stub), _ask(stub, version=1), _ask(stub, label="stable")
    assert [made.model_spec.version.value for made in (newest, first, stable)] == [2, 1, 1]
    assert first.outputs == stable.outputs
    assert first.outputs["probabilities"] != newest.outputs["probabilities"]
    assert _ask(stub, version=2).outputs == newest.outputs


def test_version_and_label_choose_over_rest_as_over_grpc(small):
    body = {"instances": [{"hours": 40.0}]}
    newest, first, stable = (
        post(small, f"/v1/models/small{chosen}:predict", body) for chosen in ("", "/versions/1", "/labels/stable")
    )
    assert first == stable != newest


def test_the_signature_comes_back_and_an_unknown_one_is_invalid(stub):
    assert _ask(stub).model_spec.signature_name == "serving_default"
    with pytest.raises(grpc.RpcError) as raised:
        _ask(stub, signature="nobody")
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
