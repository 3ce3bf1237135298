"""One function for each client that applications use: batches in, answers out, over one connection."""

import asyncio
import json
import queue
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from tests.conformance.rows import Columns
from tests.support.gateways import Running


@dataclass(frozen=True)
class Answer:
    """What came back for n rows. coverage and warnings are None to who sent ready features."""

    probabilities: np.ndarray
    label: list[int]
    grade: list[str]
    margin: np.ndarray
    coverage: np.ndarray | None
    warnings: list[str] | None

    def bits(self) -> tuple[Any, ...]:
        """Equal exactly when all that came back is equal, numbers bit by bit."""
        coverage = None if self.coverage is None else self.coverage.tobytes()
        return (
            self.probabilities.shape,
            self.probabilities.tobytes(),
            self.label,
            self.grade,
            self.margin.tobytes(),
            coverage,
            self.warnings,
        )


Client = Callable[[Running, str, list[Columns]], list[Answer]]


def tensorflow_serving(at: Running, model: str, batches: list[Columns]) -> list[Answer]:
    """tensorflow-serving-api."""
    with grpc.insecure_channel(at.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        made = []
        for batch in batches:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model
            for name, cells in batch.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(cells))
            outputs = stub.Predict(request, 30.0).outputs
            made.append(_answer({name: tf.make_ndarray(tensor) for name, tensor in outputs.items()}))
        return made


def _triton_inputs(module: Any, batch: Columns) -> list[Any]:
    types = {"f": {4: "FP32", 8: "FP64"}}
    inputs = []
    for name, cells in batch.items():
        if isinstance(cells, list):
            made = np.array([cell.encode() for cell in cells], object)
            datatype = "BYTES"
        else:
            made, datatype = cells, types[cells.dtype.kind][cells.dtype.itemsize]
        tensor = module.InferInput(name, list(made.shape), datatype)
        tensor.set_data_from_numpy(made)
        inputs.append(tensor)
    return inputs


def _triton_answer(result: Any) -> Answer:
    return _answer({tensor.name: result.as_numpy(tensor.name) for tensor in result.get_response().outputs})


def triton_sync(at: Running, model: str, batches: list[Columns]) -> list[Answer]:
    """tritonclient.grpc."""
    with triton.InferenceServerClient(at.grpc) as client:
        return [_triton_answer(client.infer(model, _triton_inputs(triton, batch))) for batch in batches]


def triton_async(at: Running, model: str, batches: list[Columns]) -> list[Answer]:
    """tritonclient.grpc.aio, all batches at once."""

    async def ask() -> list[Answer]:
        async with triton_aio.InferenceServerClient(at.grpc) as client:
            calls = [client.infer(model, _triton_inputs(triton_aio, batch)) for batch in batches]
            return [_triton_answer(result) for result in await asyncio.gather(*calls)]

    return asyncio.run(ask())


def triton_stream(at: Running, model: str, batches: list[Columns]) -> list[Answer]:
    """tritonclient.grpc over one ModelStreamInfer."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(at.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number, batch in enumerate(batches):
            client.async_stream_infer(model, _triton_inputs(triton, batch), request_id=str(number))
        made = []
        for number in range(len(batches)):
            result, error = answers.get(timeout=30)
            assert error is None, error
            assert result.get_response().id == str(number)
            made.append(_triton_answer(result))
        client.stop_stream()
        return made


def epm_stream(at: Running, model: str, batches: list[Columns]) -> list[Answer]:
    """epm.v1 over one StreamPredict, as `epm predict` does."""

    def requests() -> Iterator[v1.PredictRequest]:
        for number, batch in enumerate(batches):
            request = v1.PredictRequest(request_id=str(number), model=v1.ModelRef(name=model))
            for name, cells in batch.items():
                if isinstance(cells, list):
                    request.columns.add(name=name, strings=v1.Strings(values=cells))
                elif cells.ndim == 2:
                    request.tensors.add(name=name, shape=cells.shape, values=cells.reshape(-1))
                else:
                    request.columns.add(name=name, doubles=v1.Doubles(values=cells))
            yield request

    with grpc.insecure_channel(at.grpc) as channel:
        stub = prediction_pb2_grpc.PredictionServiceStub(channel)
        responses = list(stub.StreamPredict(requests(), timeout=60))
    assert [response.request_id for response in responses] == [str(number) for number in range(len(batches))]
    return [_epm_answer(response) for response in responses]


def _epm_answer(response: v1.PredictResponse) -> Answer:
    assert not response.HasField("error"), response.error
    classes = response.outputs[0].classes
    n = len(classes.label)
    warnings: list[list[str]] = [[] for _ in range(n)]
    for warning in response.warnings:
        code = v1.Warning.Code.Name(warning.code).lower()
        for row in warning.rows:
            warnings[row].append(f"{code}:{warning.column}" if warning.column else code)
    raw = len(response.coverage) > 0
    return Answer(
        np.array(classes.probabilities, np.float32).reshape(n, len(classes.classes)),
        list(classes.label),
        [classes.classes[index] for index in classes.label],
        np.array(classes.margin, np.float32),
        np.array(response.coverage, np.float32) if raw else None,
        [",".join(texts) for texts in warnings] if raw else None,
    )


def post(at: Running, path: str, body: Any) -> Any:
    """POST JSON, get JSON."""
    request = urllib.request.Request(f"http://{at.http}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def rest_v1_columns(at: Running, model: str, batches: list[Columns]) -> list[Answer]:
    """TF Serving's REST API, `inputs`; missing numbers as NaN."""
    made = []
    for batch in batches:
        inputs = {name: cells if isinstance(cells, list) else cells.tolist() for name, cells in batch.items()}
        outputs = post(at, f"/v1/models/{model}:predict", {"inputs": inputs})["outputs"]
        made.append(_json_answer(outputs))
    return made


def rest_v1_rows(at: Running, model: str, batches: list[Columns]) -> list[Answer]:
    """TF Serving's REST API, `instances`; missing numbers as null."""
    made = []
    for batch in batches:
        columns = [_nulls(cells) for cells in batch.values()]
        instances = [dict(zip(batch, row, strict=True)) for row in zip(*columns, strict=True)]
        rows = post(at, f"/v1/models/{model}:predict", {"instances": instances})["predictions"]
        made.append(_json_answer({name: [row[name] for row in rows] for name in rows[0]}))
    return made


def rest_v2(at: Running, model: str, batches: list[Columns]) -> list[Answer]:
    """KServe v2 over REST; missing numbers as null."""
    made = []
    for batch in batches:
        inputs = []
        for name, cells in batch.items():
            data, shape = _nulls(cells), [len(cells)] if isinstance(cells, list) else list(cells.shape)
            datatype = "BYTES" if isinstance(cells, list) else "FP64"
            inputs.append({"name": name, "shape": shape, "datatype": datatype, "data": data})
        outputs = post(at, f"/v2/models/{model}/infer", {"inputs": inputs})["outputs"]
        shaped = {
            tensor["name"]: np.array(tensor["data"], object).reshape(tensor["shape"]).tolist() for tensor in outputs
        }
        made.append(_json_answer(shaped))
    return made


def _nulls(cells: np.ndarray | list[str]) -> list[Any]:
    if isinstance(cells, list) or cells.ndim > 1:
        return cells if isinstance(cells, list) else cells.tolist()
    return [None if value != value else value for value in cells.tolist()]


def _json_answer(outputs: dict[str, Any]) -> Answer:
    texts = {"grade", "warnings"}
    arrays = {name: np.array(cells, object if name in texts else np.float32) for name, cells in outputs.items()}
    return _answer(arrays)


def _answer(tensors: dict[str, np.ndarray]) -> Answer:
    def texts(name: str) -> list[str]:
        return [cell.decode() if isinstance(cell, bytes) else cell for cell in tensors[name].tolist()]

    raw = "coverage" in tensors
    return Answer(
        tensors["probabilities"],
        [int(index) for index in tensors["label"]],
        texts("grade"),
        tensors["margin"],
        tensors["coverage"] if raw else None,
        texts("warnings") if raw else None,
    )


CLIENTS: dict[str, Client] = {
    "tensorflow_serving": tensorflow_serving,
    "triton_sync": triton_sync,
    "triton_async": triton_async,
    "triton_stream": triton_stream,
    "epm_stream": epm_stream,
    "rest_v1_columns": rest_v1_columns,
    "rest_v1_rows": rest_v1_rows,
    "rest_v2": rest_v2,
}
