"""A Triton backend in Python that takes the place of Triton's own onnxruntime backend, which the wheel does not carry.

Triton loads it for a model whose config.pbtxt says `backend: "onnxruntime"`, and hands it the requests that its own
scheduler has put together. All requests of one `execute` are answered by one run of the graph.

Tensors pass by DLPack. Triton 24.10 knows the arrays of NumPy 1 only: of NumPy 2 it takes every item for 0 bytes long,
so that `as_numpy()` repeats the first number and the outputs go out empty, without an error.
"""

from __future__ import annotations  # Triton names its classes only after it has read this file

import ctypes
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance of one model version: an onnxruntime session of one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's graph.

        The model's parameter `delay_ms` makes every run last longer by so much, for tests of slow servers.
        """
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        given = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        self._delay = float(given.get("delay_ms", "0")) / 1000

    def execute(self, requests: list[triton.InferenceRequest]) -> list[triton.InferenceResponse]:
        """One response for each request, in order; when the graph fails, all of them fail."""
        given = [self._given(request) for request in requests]
        joined = {name: np.concatenate([tensors[name] for tensors in given]) for name in self._inputs}
        ends = np.cumsum([len(tensors[self._inputs[0]]) for tensors in given])[:-1]
        if self._delay:
            time.sleep(self._delay)
        try:
            answers = self._session.run(self._outputs, joined)
        except Exception as error:  # onnxruntime raises classes of its own, some straight below Exception
            failed = triton.TritonError(f"onnxruntime: {error}")
            return [triton.InferenceResponse([], failed) for _ in requests]
        shares = zip(*(np.split(answer, ends) for answer in answers), strict=True)
        return [triton.InferenceResponse(self._tensors(share)) for share in shares]

    def _given(self, request: triton.InferenceRequest) -> dict[str, np.ndarray]:
        return {name: np.from_dlpack(triton.get_input_tensor_by_name(request, name)) for name in self._inputs}

    def _tensors(self, share: tuple[np.ndarray, ...]) -> list[triton.Tensor]:
        named = zip(self._outputs, share, strict=True)
        return [triton.Tensor.from_dlpack(name, _capsule(values)) for name, values in named]


def _capsule(values: np.ndarray) -> object:
    """An array for Triton to own.

    Triton marks the capsule as used by a name of its own, at which NumPy's destructor of the capsule would complain in
    the log; the array itself is freed by Triton.
    """
    capsule = values.__dlpack__()
    ctypes.pythonapi.PyCapsule_SetDestructor(ctypes.py_object(capsule), None)
    return capsule
