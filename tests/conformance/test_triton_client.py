"""What else tritonclient asks: liveness, metadata, index, chosen outputs, ids, streams with errors in the middle."""

import queue

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def client(small):
    with triton.InferenceServerClient(small.grpc) as made:
        yield made


def _hours(*values, name="hours"):
    tensor = triton.InferInput(name, [len(values)], "FP64")
    return tensor.set_data_from_numpy(np.array(values, np.float64))


def test_server_and_models_are_live_and_ready(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("small")
    assert client.is_model_ready("small", "1")


def test_a_model_that_is_not_there_is_not_ready(client):
    with pytest.raises(InferenceServerException) as raised:
        client.is_model_ready("nobody")
    assert raised.value.status() == "StatusCode.NOT_FOUND"


def test_server_metadata_names_the_server(client):
    metadata = client.get_server_metadata()
    assert metadata.name == "epm"
    assert metadata.version


def test_model_metadata_describes_columns_ready_tensors_and_outputs(client):
    metadata = client.get_model_metadata("small")
    inputs = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs}
    assert inputs["hours"] == ("FP64", [-1])
    assert inputs["department"] == ("BYTES", [-1])
    assert inputs["features"] == ("FP32", [-1, 8])
    assert list(metadata.versions) == ["1", "2"]
    result = client.infer("small", [_hours(40, 50)])
    for promised in metadata.outputs:
        got = result.get_output(promised.name)
        assert (got.datatype, list(got.shape)[1:]) == (promised.datatype, list(promised.shape)[1:])


def test_the_repository_index_lists_every_version_as_ready(client):
    index = {(model.name, model.version): model.state for model in client.get_model_repository_index().models}
    assert index == {("small", "1"): "READY", ("small", "2"): "READY", ("numbers", "1"): "READY"}


def test_requested_outputs_and_no_others_come_back_in_the_order_asked(client):
    wanted = [triton.InferRequestedOutput(name) for name in ("grade", "probabilities")]
    result = client.infer("small", [_hours(40)], outputs=wanted)
    assert [tensor.name for tensor in result.get_response().outputs] == ["grade", "probabilities"]
    assert result.as_numpy("grade")[0].decode() in "ABC"
    assert result.as_numpy("label") is None


def test_an_unknown_requested_output_is_invalid(client):
    with pytest.raises(InferenceServerException) as raised:
        client.infer("small", [_hours(40)], outputs=[triton.InferRequestedOutput("nobody")])
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "nobody" in raised.value.message()


def test_a_request_for_the_classification_extension_is_refused_rather_than_ignored(client):
    with pytest.raises(InferenceServerException) as raised:
        client.infer("small", [_hours(40)], outputs=[triton.InferRequestedOutput("probabilities", class_count=2)])
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_the_id_and_the_version_come_back(client):
    response = client.infer("small", [_hours(40)], model_version="1", request_id="一-17").get_response()
    assert (response.id, response.model_name, response.model_version) == ("一-17", "small", "1")


@pytest.mark.parametrize("version", ["x", "-1", "1.0", "²", "99999999999999999999"])
def test_a_version_that_is_no_number_is_invalid(version, client):
    with pytest.raises(InferenceServerException) as raised:
        client.infer("small", [_hours(40)], model_version=version)
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_an_error_in_a_stream_is_an_answer_and_the_stream_goes_on_in_order(small):
    answers = queue.Queue()
    bad = {3: [_hours(1, name="nobody")], 7: [_hours(-5)], 8: [_hours()], 9: [_hours(np.inf)]}
    with triton.InferenceServerClient(small.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(40):
            client.async_stream_infer("small", bad.get(number, [_hours(10 + number)]), request_id=str(number))
        got = [answers.get(timeout=20) for _ in range(40)]
        alone = [client.infer("small", [_hours(10 + number)]).as_numpy("probabilities") for number in range(40)]
        client.stop_stream()
    assert {number for number, (_, error) in enumerate(got) if error} == bad.keys()
    assert "nobody" in got[3][1].message()
    for number, (result, _) in enumerate(got):
        if number not in bad:
            assert result.get_response().id == str(number)
            assert result.as_numpy("probabilities").tobytes() == alone[number].tobytes()
