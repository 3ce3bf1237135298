"""Fakes of model servers, speaking the official stubs: they answer the linear model of `tests.support.models`, or not.

No Triton and no TF Serving is in them: what they show is what a client makes of every answer a server might give.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from serving.contract import Output
from tests.support.models import GRADE, linear_outputs

Answers = dict[str, np.ndarray]
PROOF_ROWS = 16
"""Questions of so many rows are proofs; tests ask other numbers of rows."""


class FakeServer(ABC):
    """One server in this process and on this event loop. What it does wrongly is set by its fields, at any time."""

    def __init__(self, model: str = "small", version: int = 1, outputs: tuple[Output, ...] = GRADE) -> None:
        self.model = model
        self.version = version
        self.outputs = outputs
        self.seed = 0
        """Which artifact it has."""
        self.delay = 0.0
        """Seconds before it answers."""
        self.code: grpc.StatusCode | None = None
        """Answers with this status."""
        self.details = "canary: the row was 77.4375"
        """What it says besides."""
        self.twist: Callable[[Answers], Answers] = lambda answers: answers
        """What becomes of the right answers to calls and proofs."""
        self.twist_calls: Callable[[Answers], Answers] = lambda answers: answers
        """What becomes of the right answers to calls only."""
        self.said_version: str | None = None
        """Claims to be this version."""
        self.raw: bytes | None = None
        """Answers with these bytes."""
        self.typed = False
        """Numbers as typed values instead of raw bytes."""
        self.flat = True
        """Whether one number a row is [n]; otherwise [n, 1]."""
        self.calls = self.proofs = self.running = self.cancelled = 0
        self.port = 0
        self._server: grpc.aio.Server | None = None

    async def start(self, credentials: grpc.ServerCredentials | None = None, host: str = "127.0.0.1") -> None:
        """On the port it had before, or any."""
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        handler = grpc.unary_unary_rpc_method_handler(self._answer)
        service, _, method = self.method.strip("/").partition("/")
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        where = f"{host}:{self.port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(where)
        else:
            self.port = self._server.add_secure_port(where, credentials)
        await self._server.start()

    async def stop(self) -> None:
        """Connections are cut and nobody listens any more."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def __aenter__(self) -> "FakeServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _answer(self, data: bytes, context: Any) -> bytes:
        name, version, features = self.read(data)
        is_proof = len(features) == PROOF_ROWS
        self.proofs += is_proof
        self.calls += not is_proof
        self.running += 1
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.code is not None:
            await context.abort(self.code, self.details)
        if (name, version) != (self.model, self.version):
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown model")
        if self.raw is not None:
            return self.raw
        answers = self.twist(linear_outputs(features, self.outputs, self.seed))
        if not is_proof:
            answers = self.twist_calls(answers)
        if not self.flat:
            answers = {name: v[:, np.newaxis] if v.ndim == 1 else v for name, v in answers.items()}
        return self.write(answers, self.said_version or str(self.version))

    method: str

    @abstractmethod
    def read(self, data: bytes) -> tuple[str, int, np.ndarray]:
        """Model, version, features."""

    @abstractmethod
    def write(self, answers: Answers, version: str) -> bytes:
        """An answer."""


class FakeTriton(FakeServer):
    """Speaks `tritonclient`'s own messages."""

    method = f"/{service_pb2.DESCRIPTOR.services_by_name['GRPCInferenceService'].full_name}/ModelInfer"

    def read(self, data: bytes) -> tuple[str, int, np.ndarray]:
        request = service_pb2.ModelInferRequest.FromString(data)
        (tensor,), (raw,) = request.inputs, request.raw_input_contents
        assert (tensor.name, tensor.datatype) == ("features", "FP32")
        assert len(request.outputs) > 0
        features = np.frombuffer(raw, np.float32).reshape(tensor.shape)
        return request.model_name, int(request.model_version), features

    def write(self, answers: Answers, version: str) -> bytes:
        response = service_pb2.ModelInferResponse(model_name=self.model, model_version=version)
        for name, values in answers.items():
            datatype = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64"}[values.dtype.name]
            output = response.outputs.add(name=name, datatype=datatype, shape=values.shape)
            if self.typed:
                field = "fp32_contents" if values.dtype.kind == "f" else "int_contents"
                getattr(output.contents, field).extend(values.ravel().tolist())
            else:
                response.raw_output_contents.append(values.tobytes())
        return response.SerializeToString()
