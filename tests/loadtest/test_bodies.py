"""Request bodies mean the same to the official stubs as the rows they were made from."""

import msgspec
import numpy as np
import pytest

from loadtest.bodies import PROTOCOLS, epm_predict, kserve_model_infer, make_bodies, tensorflow_serving_predict
from loadtest.rows import draw_rows, take
from serving.contract import NumberInput
from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import tensorflow_serving_pb2 as serving
from tests.loadtest.contracts import small_contract

pytestmark = pytest.mark.unit

CONTRACT = small_contract()
MODEL = "performance_model"


@pytest.mark.parametrize("rows", [1, 64])
def test_kserve_bodies_read_by_tritonclients_messages_give_the_rows_back(rows):
    from tritonclient.grpc import service_pb2

    columns = draw_rows(CONTRACT, rows, seed=3, missing=0.2)
    request = service_pb2.ModelInferRequest.FromString(kserve_model_infer(MODEL, columns))
    assert request.model_name == MODEL
    assert [tensor.name for tensor in request.inputs] == list(columns)
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        assert list(tensor.shape) == [rows]
        cells = columns[tensor.name]
        if tensor.datatype == "FP64":
            np.testing.assert_array_equal(np.frombuffer(raw, "<f8"), cells)
        else:
            assert tensor.datatype == "BYTES"
            assert _texts(raw) == cells


@pytest.mark.parametrize("rows", [1, 64])
def test_kserve_bodies_are_what_tritonclient_sends(rows):
    import tritonclient.grpc as triton
    from tritonclient.grpc import service_pb2

    columns = draw_rows(CONTRACT, rows, seed=4, missing=0.2)
    request = service_pb2.ModelInferRequest.FromString(kserve_model_infer(MODEL, columns))
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        cells = columns[tensor.name]
        theirs = triton.InferInput(tensor.name, [rows], tensor.datatype)
        theirs.set_data_from_numpy(np.array(cells, np.object_ if isinstance(cells, list) else np.float64))
        assert tensor == theirs._get_tensor()
        assert raw == theirs._get_content()


def test_epm_bodies_mark_exactly_the_missing_numbers_in_their_bitmaps():
    columns = draw_rows(CONTRACT, 64, seed=5, missing=0.2)
    request = epm.PredictRequest.FromString(epm_predict(MODEL, columns))
    assert request.model.name == MODEL
    assert [column.name for column in request.columns] == list(columns)
    for column in request.columns:
        cells = columns[column.name]
        if column.WhichOneof("values") == "strings":
            assert list(column.strings.values) == cells
            continue
        bits = np.unpackbits(np.frombuffer(column.validity or b"\xff" * 8, np.uint8), count=64, bitorder="little")
        np.testing.assert_array_equal(bits == 0, np.isnan(cells))
        np.testing.assert_array_equal(np.array(column.doubles.values)[bits == 1], cells[bits == 1])


@pytest.mark.parametrize("rows", [1, 64])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_thousand_bodies_are_distinct_and_the_same_seed_makes_them_again(protocol, rows):
    bodies = make_bodies(protocol, CONTRACT, rows, 1000, seed=1)
    assert len(set(bodies)) == 1000
    assert make_bodies(protocol, CONTRACT, rows, 1000, seed=1) == bodies
    assert not set(make_bodies(protocol, CONTRACT, rows, 1000, seed=2)) & set(bodies)


def test_bodies_that_cannot_be_distinct_are_refused():
    constant = small_contract(numbers=1, categories=0, width=0.0)
    with pytest.raises(ValueError, match="distinct"):
        make_bodies(PROTOCOLS[0], constant, 1, 1000, seed=1)


def test_drawn_rows_keep_to_the_contract():
    columns = draw_rows(CONTRACT, 20_000, seed=9, missing=0.1)
    for raw in CONTRACT.inputs:
        cells = columns[raw.name]
        if isinstance(raw, NumberInput):
            gone = np.isnan(cells)
            given = cells[~gone]
            assert given.min() >= raw.seen[0]
            assert given.max() <= raw.seen[1]
            np.testing.assert_array_equal(given.astype(np.float32).astype(np.float64), given)
        else:
            gone = np.array([cell == "" for cell in cells])
            assert {*cells} == {*raw.categories, ""}
        assert gone.mean() == (0 if raw.required else pytest.approx(0.1, abs=0.02))


def test_numbers_stay_within_what_was_seen_where_float32_is_coarse():
    raw = msgspec.structs.replace(CONTRACT.inputs[0], high=None, seen=(16_777_216.5, 16_777_219.5))
    coarse = msgspec.structs.replace(CONTRACT, inputs=(raw, *CONTRACT.inputs[1:]))
    assert set(draw_rows(coarse, 1000, seed=1)["number_0"]) == {16_777_218.0}


def test_taking_rows_takes_them_from_every_column():
    columns = draw_rows(CONTRACT, 10, seed=1)
    part = take(columns, 3, 5)
    assert all(list(part[name]) == list(columns[name][3:5]) or name.startswith("number") for name in columns)
    np.testing.assert_array_equal(part["number_0"], columns["number_0"][3:5])


@pytest.mark.parametrize("rows", [1, 64])
def test_tensorflow_serving_bodies_give_the_rows_back(rows):
    columns = draw_rows(CONTRACT, rows, seed=7, missing=0.2)
    request = serving.PredictRequest.FromString(tensorflow_serving_predict(MODEL, columns))
    assert set(request.inputs) == set(columns)
    for name, cells in columns.items():
        tensor = request.inputs[name]
        assert [dim.size for dim in tensor.tensor_shape.dim] == [rows]
        if isinstance(cells, list):
            assert [cell.decode() for cell in tensor.string_val] == cells
        else:
            values = np.frombuffer(tensor.tensor_content, "<f4") if rows > 1 else np.array(tensor.float_val)
            np.testing.assert_array_equal(values, cells)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 64])
def test_tensorflow_serving_bodies_are_what_make_tensor_proto_makes(rows):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    columns = draw_rows(CONTRACT, rows, seed=6, missing=0.2)
    request = predict_pb2.PredictRequest.FromString(tensorflow_serving_predict(MODEL, columns))
    assert request.model_spec.name == MODEL
    assert set(request.inputs) == set(columns)
    for name, cells in columns.items():
        kind = tf.string if isinstance(cells, list) else tf.float32
        tensor = request.inputs[name]
        assert tensor.SerializeToString() == tf.make_tensor_proto(cells, kind, [rows]).SerializeToString()
        values = tf.make_ndarray(tensor)
        if isinstance(cells, list):
            assert [cell.decode() for cell in values] == cells
        else:
            np.testing.assert_array_equal(values, cells)


def _texts(raw):
    texts = []
    while raw:
        length = int.from_bytes(raw[:4], "little")
        texts.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return texts
