"""The gateway's own protocol, epm.v1.PredictionService (protos/epm/v1/prediction.proto)."""

from contextlib import suppress
from typing import Any

import numpy as np

from serving.contract import MOST_MONTHS, ClassOutput, ProbabilityOutput, RankingOutput, ScalarOutput
from serving.errors import EpmError, InvalidInput
from serving.features.rows import Cells, MonthlyCells
from serving.pipeline import Entities, Pipeline, Prediction
from serving.protocols.answers import check_rows, elements
from serving.protocols.by_id import month
from serving.protocols.details import status
from serving.protocols.method import Call, Service, Stream, Unary, parse
from serving.repository.served import ServedModel
from serving.stubs.epm.v1 import prediction_pb2 as v1


class Epm:
    """The methods of the service, from bytes to bytes."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def services(self) -> list[Service]:
        """What a listener registers."""
        methods: dict[str, Unary | Stream] = {
            "Predict": Unary(self.predict),
            "StreamPredict": Stream(self.predict, self.failure),
        }
        return [Service("epm.v1.PredictionService", "epm", methods)]

    async def predict(self, body: bytes, call: Call) -> bytes:
        """PredictRequest -> PredictResponse."""
        request = parse(v1.PredictRequest, body)
        served = call.served = self._resolve(request.model)
        entities = None
        if request.HasField("entities"):
            present = month("entities.present_month", request.entities.present_month)
            entities = Entities(request.entities.entity_type, list(request.entities.ids), present)
        inputs = _inputs(request, served, self._pipeline.max_rows)
        prediction = await self._pipeline.predict(served, inputs, call.deadline, entities, call.priority, call.watch)
        return _response(request.request_id, prediction).SerializeToString(deterministic=True)

    def failure(self, body: bytes, error: EpmError) -> bytes:
        """The answer to a message of a stream that cannot be answered."""
        response = v1.PredictResponse()
        with suppress(InvalidInput):
            response.request_id = parse(v1.PredictRequest, body).request_id
        response.error.CopyFrom(status(error))
        return response.SerializeToString(deterministic=True)

    def _resolve(self, model: v1.ModelRef) -> ServedModel:
        if not model.name:
            raise InvalidInput.cell("model.name", "nothing", "the name of a model")
        choice = model.WhichOneof("version_choice")
        version = model.version if choice == "version" else None
        label = model.label if choice == "label" else None
        return self._pipeline.repository.resolve(model.name, version, label)


def _inputs(request: v1.PredictRequest, served: ServedModel, max_rows: int) -> dict[str, Cells | MonthlyCells]:
    inputs: dict[str, Cells | MonthlyCells] = {}
    for column in request.columns:
        if column.name in inputs:
            raise InvalidInput.cell(column.name, "the same column twice", "each once")
        if column.name in served.graph_inputs:
            raise InvalidInput.cell(column.name, "a ready tensor among the columns", "it in `tensors`")
        inputs[column.name] = _cells(column, max_rows)
    for tensor in request.tensors:
        if tensor.name not in served.graph_inputs:
            raise InvalidInput.cell(tensor.name, "no ready tensor", f"one of {', '.join(served.graph_inputs)}")
        if tensor.name in inputs:
            raise InvalidInput.cell(tensor.name, "the same tensor twice", "each once")
        inputs[tensor.name] = _ready(tensor)
    return inputs


def _cells(column: v1.Column, max_rows: int) -> Cells | MonthlyCells:
    """A column's cells with what its bitmap says is missing. Raises InvalidInput."""
    kind = column.WhichOneof("values")
    if kind == "history":
        return _history(column, max_rows)
    cells: Any
    if kind in ("doubles", "int64s", "strings"):
        check_rows(column.name, len(getattr(column, kind).values), max_rows)
    if kind == "doubles":
        cells = np.array(column.doubles.values, np.float64)
    elif kind == "int64s":
        cells = np.array(column.int64s.values, np.int64)
    elif kind == "strings":
        cells = list(column.strings.values)
    else:
        raise InvalidInput.cell(column.name, "no values", "doubles, int64s, strings or a history")
    if column.validity:
        given = _given(column.name, column.validity, len(cells))
        if kind == "strings":
            return [cell if here else "" for cell, here in zip(cells, given, strict=True)]
        if not given.all():
            cells = cells.astype(np.float64)
            cells[~given] = np.nan
    return cells


def _history(column: v1.Column, max_rows: int) -> MonthlyCells:
    """A history's months. Raises InvalidInput."""
    name, months = column.name, column.history.months
    values = np.array(column.history.values, np.float64)
    if not 1 <= months <= MOST_MONTHS:
        raise InvalidInput.cell(name, f"a history of {months} months", f"1 to {MOST_MONTHS}")
    n = len(values) // months
    check_rows(name, n, max_rows)
    if n * months != len(values):
        raise InvalidInput.cell(name, f"{len(values)} values of {months} months", f"a multiple of {months}")
    if column.validity:
        values[~_given(name, column.validity, len(values))] = np.nan
    lengths = np.array(column.history.lengths or [months] * n, np.int64)
    if len(lengths) != n:
        raise InvalidInput.cell(name, f"{len(lengths)} lengths for {n} rows", "one a row, or none")
    return MonthlyCells(values.reshape(n, months), lengths)


def _given(name: str, bitmap: bytes, n: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if len(bitmap) != (n + 7) // 8:
        raise InvalidInput.cell(name, f"a validity bitmap of {len(bitmap)} bytes", f"{(n + 7) // 8} for {n} cells")
    return np.unpackbits(np.frombuffer(bitmap, np.uint8), count=n, bitorder="little").astype(bool)


def _ready(tensor: v1.Tensor) -> Cells:
    values = np.array(tensor.values, np.float32)
    shape = list(tensor.shape)
    if elements(shape, tensor.name) != len(values):
        raise InvalidInput.cell(tensor.name, f"{len(values)} values for shape {shape}", "as many as the shape says")
    return values.reshape(shape)


def _response(request_id: str, prediction: Prediction) -> v1.PredictResponse:
    served = prediction.served
    response = v1.PredictResponse(request_id=request_id, model_name=served.name, model_version=served.version)
    for output in served.contract.outputs:
        made = response.outputs.add(name=output.name)
        if isinstance(output, ClassOutput):
            classes = made.classes
            classes.classes.extend(output.classes)
            classes.probabilities.extend(prediction.tensors[output.probabilities].reshape(-1).tolist())
            classes.label.extend(prediction.tensors[output.label].reshape(-1).tolist())
            classes.margin.extend(prediction.margins.tolist())
            continue
        values = prediction.tensors[output.tensor]
        if isinstance(output, ProbabilityOutput):
            made.probability.values.extend(values.reshape(-1).tolist())
            if output.threshold is not None:
                made.probability.label.extend(prediction.tensors[output.label].tolist())
                made.probability.margin.extend(prediction.margins.tolist())
                made.probability.threshold = output.threshold
        elif isinstance(output, ScalarOutput):
            made.scalar.values.extend(values.reshape(-1).tolist())
        elif isinstance(output, RankingOutput):
            order = np.argsort(-values, axis=1, kind="stable").astype(np.int32)
            made.ranking.items.extend(output.items)
            made.ranking.order.extend(order.reshape(-1).tolist())
            made.ranking.scores.extend(np.take_along_axis(values, order, axis=1).reshape(-1).tolist())
        else:
            made.vector.names.extend(output.names)
            made.vector.values.extend(values.reshape(-1).tolist())
    if prediction.coverage is not None:
        response.coverage.extend(prediction.coverage.tolist())
    for warning in prediction.warnings:
        code = v1.Warning.Code.Value(warning.code.upper())
        response.warnings.add(code=code, column=warning.column, rows=warning.rows.tolist())
    for failed in prediction.errors:
        response.row_errors.add(status=status(failed.error), rows=failed.rows.tolist())
    return response
