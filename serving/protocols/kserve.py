"""The Open Inference Protocol (KServe v2, inference.GRPCInferenceService), with Triton's stream and index."""

from contextlib import suppress
from itertools import zip_longest

from serving.errors import EpmError, InvalidInput
from serving.features.rows import Cells
from serving.pipeline import Pipeline, Priority
from serving.protocols import by_id
from serving.protocols.answers import answer_specs, answers, column_specs, graph_specs, select
from serving.protocols.kserve_tensors import KINDS, decode, describe, join_bytes
from serving.protocols.method import Call, Service, Stream, Unary, parse
from serving.repository.served import ServedModel
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.version import __version__

SERVER_NAME = "epm"
EXTENSIONS = ("model_repository",)


class KServe:
    """The methods of the service, from bytes to bytes."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._repository = pipeline.repository

    def services(self) -> list[Service]:
        """What a listener registers."""
        methods: dict[str, Unary | Stream] = {
            "ServerLive": Unary(self.server_live),
            "ServerReady": Unary(self.server_ready),
            "ModelReady": Unary(self.model_ready),
            "ServerMetadata": Unary(self.server_metadata),
            "ModelMetadata": Unary(self.model_metadata),
            "ModelInfer": Unary(self.infer),
            "ModelStreamInfer": Stream(self.stream_infer, self.stream_failure),
            "RepositoryIndex": Unary(self.repository_index),
        }
        return [Service("inference.GRPCInferenceService", "kserve", methods)]

    async def infer(self, body: bytes, call: Call) -> bytes:
        """ModelInferRequest -> ModelInferResponse, raw contents to who sent raw contents, typed to who sent typed."""
        request = parse(v2.ModelInferRequest, body)
        return (await self._infer(request, call)).SerializeToString(deterministic=True)

    async def stream_infer(self, body: bytes, call: Call) -> bytes:
        """One ModelInferRequest of a stream -> one ModelStreamInferResponse."""
        request = parse(v2.ModelInferRequest, body)
        response = v2.ModelStreamInferResponse(infer_response=await self._infer(request, call))
        return response.SerializeToString(deterministic=True)

    def stream_failure(self, body: bytes, error: EpmError) -> bytes:
        """The answer to a message that cannot be answered: Triton's error_message, with the request's id."""
        response = v2.ModelStreamInferResponse(error_message=error.message)
        with suppress(InvalidInput):
            response.infer_response.id = parse(v2.ModelInferRequest, body).id
        return response.SerializeToString(deterministic=True)

    async def _infer(self, request: v2.ModelInferRequest, call: Call) -> v2.ModelInferResponse:
        served = call.served = self._resolve(request.model_name, request.model_version)
        raw = request.raw_input_contents
        inputs = _inputs(request, served, self._pipeline.max_rows)
        if (
            "priority" in request.parameters and _level(request) > 1
        ):  # of Triton's levels 1 is the first and 0 the default
            call.priority = Priority.LOW
        prediction = await by_id.predict(self._pipeline, served, inputs, call)
        outputs = answers(prediction)
        if request.outputs:
            for wanted in request.outputs:
                if wanted.parameters:
                    raise InvalidInput.cell(f"outputs.{wanted.name}.parameters", "parameters", "none")
            outputs = select(outputs, (wanted.name for wanted in request.outputs))
        response = v2.ModelInferResponse(model_name=served.name, model_version=str(served.version), id=request.id)
        for name, answer in outputs.items():
            datatype, shape = describe(answer)
            tensor = response.outputs.add(name=name, datatype=datatype, shape=shape)
            if raw:
                packed = join_bytes(answer) if isinstance(answer, list) else answer.tobytes()
                response.raw_output_contents.append(packed)
            elif isinstance(answer, list):
                tensor.contents.bytes_contents.extend(answer)
            elif datatype == "FP32":
                tensor.contents.fp32_contents.extend(answer.reshape(-1))
            else:
                tensor.contents.int_contents.extend(answer.reshape(-1))
        return response

    async def server_live(self, body: bytes, call: Call) -> bytes:
        """Whether the process answers: it just did."""
        parse(v2.ServerLiveRequest, body)
        return v2.ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, body: bytes, call: Call) -> bytes:
        """Whether calls should be sent here."""
        parse(v2.ServerReadyRequest, body)
        return v2.ServerReadyResponse(ready=self._pipeline.ready).SerializeToString()

    async def model_ready(self, body: bytes, call: Call) -> bytes:
        """Whether this version of the model answers; an unknown one is NOT_FOUND."""
        request = parse(v2.ModelReadyRequest, body)
        call.served = self._resolve(request.name, request.version)
        return v2.ModelReadyResponse(ready=self._pipeline.ready).SerializeToString()

    async def server_metadata(self, body: bytes, call: Call) -> bytes:
        """Name, version, extensions."""
        parse(v2.ServerMetadataRequest, body)
        response = v2.ServerMetadataResponse(name=SERVER_NAME, version=__version__, extensions=EXTENSIONS)
        return response.SerializeToString()

    async def model_metadata(self, body: bytes, call: Call) -> bytes:
        """Inputs and outputs of a model: raw columns first, then the graph's own inputs; send one kind, not both."""
        request = parse(v2.ModelMetadataRequest, body)
        served = call.served = self._resolve(request.name, request.version)
        return self.describe(served).SerializeToString(deterministic=True)

    def describe(self, served: ServedModel) -> v2.ModelMetadataResponse:
        """ModelMetadataResponse of a served model."""
        state = self._repository.models.get(served.name)
        versions = sorted(state.served) if state else [served.version]
        response = v2.ModelMetadataResponse(name=served.name, versions=map(str, versions))
        response.platform = f"{SERVER_NAME}_{served.backend.name}"
        for spec in column_specs(served.contract) + graph_specs(served.contract):
            response.inputs.add(name=spec.name, datatype=KINDS[spec.kind], shape=(-1, *spec.shape))
        for spec in answer_specs(served.contract):
            response.outputs.add(name=spec.name, datatype=KINDS[spec.kind], shape=(-1, *spec.shape))
        return response

    async def repository_index(self, body: bytes, call: Call) -> bytes:
        """Every version served or refused, with the reason."""
        request = parse(v2.RepositoryIndexRequest, body)
        return self.index(request.ready).SerializeToString(deterministic=True)

    def index(self, ready_only: bool) -> v2.RepositoryIndexResponse:
        """RepositoryIndexResponse, by name and version."""
        response = v2.RepositoryIndexResponse()
        for name, state in sorted(self._repository.models.items()):
            for version in sorted(state.served.keys() | state.refused.keys()):
                reason = state.refused[version].reason if version in state.refused else ""
                if version in state.served:
                    response.models.add(name=name, version=str(version), state="READY", reason=reason)
                elif not ready_only:
                    response.models.add(name=name, version=str(version), state="UNAVAILABLE", reason=reason)
        return response

    def _resolve(self, name: str, version: str) -> ServedModel:
        if not name:
            raise InvalidInput.cell("model_name", "nothing", "the name of a model")
        if not version:
            return self._repository.resolve(name)
        if not (version.isascii() and version.isdigit() and len(version) < 19):
            raise InvalidInput.cell("model_version", repr(version[:100]), "a number, or nothing for the newest")
        return self._repository.resolve(name, int(version))


def _level(request: v2.ModelInferRequest) -> int:
    """Triton's priority of a request; its clients send it as uint64 or as int64."""
    parameter = request.parameters["priority"]
    return int(parameter.uint64_param or parameter.int64_param)


def _inputs(request: v2.ModelInferRequest, served: ServedModel, max_rows: int) -> dict[str, Cells]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput.cell("raw_input_contents", f"{len(raw)} entries", f"{len(request.inputs)}, one an input")
    inputs: dict[str, Cells] = {}
    for tensor, content in zip_longest(request.inputs, raw):
        if tensor.name in inputs:
            raise InvalidInput.cell(tensor.name, "the same input twice", "each once")
        if content is not None and tensor.HasField("contents"):
            raise InvalidInput.cell(tensor.name, "typed and raw contents", "one of them")
        inputs[tensor.name] = decode(tensor, content, served, max_rows)
    return inputs
