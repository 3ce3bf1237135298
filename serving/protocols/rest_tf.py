"""TF Serving's REST API (https://www.tensorflow.org/tfx/serving/api_rest): predict, status, metadata."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import json_format

from serving.errors import InvalidInput
from serving.features.rows import Cells
from serving.pipeline import Pipeline
from serving.protocols import by_id
from serving.protocols.answers import answers, check_rows
from serving.protocols.json_values import as_json, cells, dump, parse_object
from serving.protocols.method import Call
from serving.protocols.tf_serving import BY_ID_SIGNATURE, SIGNATURES, TfServing, signatures
from serving.repository.served import ServedModel
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs

MEMBERS = {"signature_name", "instances", "inputs"}


class RestTf:
    """The three calls; model, version and label come from the path."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._grpc = TfServing(pipeline)

    async def predict(self, body: bytes, call: Call, model: str, version: int | None, label: str | None) -> bytes:
        """`instances` (a list of rows) is answered with `predictions`, `inputs` (columns) with `outputs`."""
        served = call.served = self._pipeline.repository.resolve(model, version, label)
        request = parse_object(body)
        unknown = request.keys() - MEMBERS
        if unknown:
            raise InvalidInput.cell(min(unknown), "an unknown member", f"one of {', '.join(sorted(MEMBERS))}")
        signature = request.get("signature_name", "")
        if signature not in (*SIGNATURES, BY_ID_SIGNATURE):
            raise InvalidInput.cell("signature_name", repr(signature)[:100], "serving_default, features or by_id")
        if ("instances" in request) == ("inputs" in request):
            raise InvalidInput("the body: expected either `instances` or `inputs`")
        by_row = "instances" in request
        made, sent = (_rows, request["instances"]) if by_row else (_columns, request["inputs"])
        inputs = made(served, sent, self._pipeline.max_rows, signature)
        if signature == BY_ID_SIGNATURE:
            by_id.require(served, inputs)
        prediction = await by_id.predict(self._pipeline, served, inputs, call)
        outputs = {name: as_json(answer) for name, answer in answers(prediction).items()}
        if by_row:
            rows = zip(*outputs.values(), strict=True)
            return dump({"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]})
        return dump({"outputs": outputs})

    def status(self, model: str, version: int | None, label: str | None) -> bytes:
        """GetModelStatus in protobuf's JSON."""
        spec = tfs.ModelSpec(name=model)
        if version is not None:
            spec.version.value = version
        elif label is not None:
            spec.version_label = label
        return _json(self._grpc.model_status(spec))

    def metadata(self, model: str, version: int | None, label: str | None) -> bytes:
        """GetModelMetadata in protobuf's JSON."""
        served = self._pipeline.repository.resolve(model, version, label)
        spec = {"name": served.name, "signature_name": "", "version": str(served.version)}
        described = json_format.MessageToDict(signatures(served), preserving_proto_field_name=True)
        return dump({"model_spec": spec, "metadata": {"signature_def": described}})


def _json(message: Any) -> bytes:
    return dump(
        json_format.MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    )


def _rows(served: ServedModel, instances: Any, max_rows: int, signature: str) -> Mapping[str, Cells]:
    if not isinstance(instances, list) or not instances:
        raise InvalidInput.cell("instances", "no list of rows", "at least one row")
    check_rows("instances", len(instances), max_rows)
    if not any(isinstance(row, dict) for row in instances):
        name = _only_input(served, signature)
        return {name: cells(served, name, instances, max_rows)}
    columns: dict[str, list[Any]] = {}
    if not any(instances):  # rows in which everything is missing
        return served.schema.empty(len(instances))
    for number, row in enumerate(instances):
        if not isinstance(row, dict):
            raise InvalidInput.cell(
                "instances", f"a {type(row).__name__} in row {number}", "an object, as in other rows"
            )
        for name, value in row.items():
            if not served.schema.takes(name) and name not in served.graph_inputs and name not in by_id.RESERVED:
                raise served.schema.unknown(name)  # before a column of n cells is made for it
            column = columns.get(name)
            if column is None:
                column = columns[name] = [None] * len(instances)
            column[number] = value
    if by_id.asked(served, columns):
        _check_given(columns, instances)
    return {name: cells(served, name, values, max_rows) for name, values in columns.items()}


def _columns(served: ServedModel, inputs: Any, max_rows: int, signature: str) -> dict[str, Cells]:
    if isinstance(inputs, dict):
        return {name: cells(served, name, values, max_rows) for name, values in inputs.items()}
    name = _only_input(served, signature)
    return {name: cells(served, name, inputs, max_rows)}


def _check_given(columns: Iterable[str], rows: list[dict[str, Any]]) -> None:
    """Refuse rows by id of which only some bring a column; null is brought, and means missing."""
    for name in columns:
        for number, row in enumerate(rows):
            if name not in row:
                raise by_id.left_out(name, number)


def _only_input(served: ServedModel, signature: str) -> str:
    """What values without a name are: ids where the signature says so, else the graph's input, if it has just one."""
    if signature == BY_ID_SIGNATURE:
        return by_id.ENTITY_ID
    if len(served.graph_inputs) != 1:
        raise InvalidInput.cell("inputs", "values without names", f"one of {', '.join(served.graph_inputs)}, by name")
    return next(iter(served.graph_inputs))
