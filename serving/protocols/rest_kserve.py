"""The Open Inference Protocol over REST (KServe v2): infer, metadata, readiness, repository index."""

import json
import math
from typing import Any

from serving.errors import InvalidInput
from serving.features.rows import Cells
from serving.pipeline import Pipeline
from serving.protocols import by_id
from serving.protocols.answers import answers, check_rows, select
from serving.protocols.json_values import as_json, cells, dump, parse_object
from serving.protocols.kserve import EXTENSIONS, SERVER_NAME, KServe
from serving.protocols.kserve_tensors import NUMBERS, describe
from serving.protocols.method import Call
from serving.repository.served import ServedModel
from serving.version import __version__


class RestKServe:
    """The calls; model and version come from the path."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._grpc = KServe(pipeline)

    async def infer(self, body: bytes, call: Call, model: str, version: int | None) -> bytes:
        """An inference request in JSON -> its response in JSON."""
        served = call.served = self._pipeline.repository.resolve(model, version)
        request = parse_object(body)
        inputs = _inputs(served, request.get("inputs"), self._pipeline.max_rows)
        prediction = await by_id.predict(self._pipeline, served, inputs, call)
        outputs = select(answers(prediction), _wanted(request.get("outputs")))
        tensors = []
        for name, answer in outputs.items():
            datatype, shape = describe(answer)
            data = as_json(answer if isinstance(answer, list) else answer.reshape(-1))
            tensors.append({"name": name, "datatype": datatype, "shape": list(shape), "data": data})
        response: dict[str, Any] = {"model_name": served.name, "model_version": str(served.version)}
        if isinstance(request.get("id"), str):
            response["id"] = request["id"]
        return dump({**response, "outputs": tensors})

    def server(self) -> bytes:
        """Server metadata."""
        return dump({"name": SERVER_NAME, "version": __version__, "extensions": list(EXTENSIONS)})

    def model(self, model: str, version: int | None) -> bytes:
        """Model metadata."""
        described = self._grpc.describe(self._pipeline.repository.resolve(model, version))
        parts = {
            kind: [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in tensors]
            for kind, tensors in (("inputs", described.inputs), ("outputs", described.outputs))
        }
        return dump(
            {"name": described.name, "versions": list(described.versions), "platform": described.platform, **parts}
        )

    def model_ready(self, model: str, version: int | None) -> bool:
        """Whether the model answers. Raises NotFound."""
        self._pipeline.repository.resolve(model, version)
        return self._pipeline.ready

    def index(self, body: bytes) -> bytes:
        """Repository index."""
        models = self._grpc.index(parse_object(body).get("ready") is True).models
        return dump([{"name": m.name, "version": m.version, "state": m.state, "reason": m.reason} for m in models])


def _inputs(served: ServedModel, tensors: Any, max_rows: int) -> dict[str, Cells]:
    if not isinstance(tensors, list) or not all(isinstance(tensor, dict) for tensor in tensors):
        raise InvalidInput.cell("inputs", "no list of tensors", "[{name, shape, datatype, data}, ...]")
    inputs: dict[str, Cells] = {}
    for tensor in tensors:
        name, shape, datatype = (tensor.get(member) for member in ("name", "shape", "datatype"))
        if not isinstance(name, str):
            raise InvalidInput.cell("inputs.name", f"a {type(name).__name__}", "a text")
        if name in inputs:
            raise InvalidInput.cell(name, "the same input twice", "each once")
        if not isinstance(shape, list) or not all(type(size) is int for size in shape):
            raise InvalidInput.cell(name, "no shape", "`shape`, a list of whole numbers")
        if not isinstance(datatype, str) or (datatype not in NUMBERS and datatype != "BYTES"):
            raise InvalidInput.cell(name, f"datatype {str(datatype)[:20]!r}", f"one of {', '.join(NUMBERS)}, BYTES")
        check_rows(name, shape[0] if shape else 0, max_rows)
        values = cells(served, name, _numbers(name, datatype, tensor.get("data")), max_rows, shape)
        if datatype != "BYTES" and isinstance(values, list) and any(isinstance(value, str) for value in values):
            raise InvalidInput.cell(name, f"a text in a tensor of {datatype}", "numbers, or datatype BYTES")
        inputs[name] = values
    return inputs


def _numbers(name: str, datatype: str, data: Any) -> Any:
    """Data as its datatype says; true and false of a BOOL are 1 and 0. Raises InvalidInput for what it cannot hold."""
    if isinstance(data, list):
        return [_numbers(name, datatype, value) for value in data]
    whole = datatype.startswith(("INT", "UINT"))
    if isinstance(data, bool) != (datatype == "BOOL") and isinstance(data, int | float):
        raise InvalidInput.cell(name, f"{_shown(name, data)} in a tensor of {datatype}", f"a value of {datatype}")
    if whole and isinstance(data, float) and not (math.isnan(data) or data.is_integer()):
        raise InvalidInput.cell(name, f"{_shown(name, data)} in a tensor of {datatype}", "whole numbers")
    if datatype == "BYTES" and isinstance(data, int | float):
        raise InvalidInput.cell(name, f"{_shown(name, data)} in a tensor of BYTES", "texts")
    return int(data) if isinstance(data, bool) else data


def _shown(name: str, data: float) -> str:
    """A number or a bool as it came, unless it may be an id."""
    return json.dumps(data) if name != by_id.ENTITY_ID else "a number"


def _wanted(outputs: Any) -> list[str]:
    if outputs is None:
        return []
    if not isinstance(outputs, list) or not all(
        isinstance(output, dict) and isinstance(output.get("name"), str) for output in outputs
    ):
        raise InvalidInput.cell("outputs", "no list of names", "[{name}, ...]")
    for output in outputs:
        if output.get("parameters"):
            raise InvalidInput.cell(f"outputs.{output['name']}.parameters", "parameters", "none")
    return [output["name"] for output in outputs]
