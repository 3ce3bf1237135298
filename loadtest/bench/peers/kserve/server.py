"""A model server of KServe's SDK: the published graph in onnxruntime, one thread, by gRPC and HTTP.

`python server.py --http_port N --grpc_port N NAME=model.onnx ...`
"""

import argparse
import asyncio
import functools
from typing import Any

import grpc
import kserve
import onnxruntime
import uvicorn
import uvloop
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.numpy_codec import from_np_dtype


class OnnxModel(Model):
    """One graph by name."""

    def __init__(self, name: str, graph: str) -> None:
        super().__init__(name)
        self._graph = graph
        self.load()

    def load(self) -> bool:
        """Load the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.ready = True
        return self.ready

    async def predict(
        self, payload: InferRequest, headers: dict[str, str] | None = None, response_headers: Any = None
    ) -> InferResponse:
        """All outputs of the graph, as binary tensors."""
        answers = self._session.run(self._outputs, {self._input: payload.inputs[0].as_numpy()})
        outputs = []
        for name, values in zip(self._outputs, answers, strict=True):
            output = InferOutput(name, list(values.shape), from_np_dtype(values.dtype))
            output.set_data_from_numpy(values, binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)


def listen_on_loopback_only() -> None:
    """KServe listens on all addresses and has no option for it."""
    make_server, configure = grpc.aio.server, uvicorn.Config.__init__

    @functools.wraps(make_server)
    def server(*arguments: Any, **options: Any) -> grpc.aio.Server:
        made = make_server(*arguments, **options)
        add = made.add_insecure_port
        made.add_insecure_port = lambda address: add(address.replace("[::]", "127.0.0.1"))
        return made

    @functools.wraps(configure)
    def config(self: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        configure(self, *arguments, **options | {"host": "127.0.0.1"})

    grpc.aio.server, uvicorn.Config.__init__ = server, config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    parser.add_argument("graphs", nargs="+", metavar="NAME=FILE")
    graphs = dict(graph.split("=", 1) for graph in parser.parse_args().graphs)
    listen_on_loopback_only()
    uvloop.install()
    asyncio.set_event_loop(asyncio.new_event_loop())  # KServe asks for the current one before it runs
    ModelServer().start([OnnxModel(name, graph) for name, graph in graphs.items()])
