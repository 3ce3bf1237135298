"""A Triton backend in Python in the place of Triton's own onnxruntime backend, which the wheel does not carry.

Triton runs it in its Python backend for models whose config.pbtxt says `backend: "onnxruntime"`, with the requests that
its dynamic batching has put together: all of one `execute` are one run of the graph. NumPy is 1 in this environment, as
Triton 24.10 expects, so tensors pass as its documentation shows.
"""

from __future__ import annotations  # Triton names its classes only after it has read this file

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance of one model version: an onnxruntime session of one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's graph."""
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        graph = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self._input = config["input"][0]["name"]
        self._outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[triton.InferenceRequest]) -> list[triton.InferenceResponse]:
        """One response for each request, in order."""
        given = [triton.get_input_tensor_by_name(request, self._input).as_numpy() for request in requests]
        joined = given[0] if len(given) == 1 else np.concatenate(given)
        answers = self._session.run(self._outputs, {self._input: joined})
        responses, start = [], 0
        for rows in map(len, given):
            share = [answer[start : start + rows] for answer in answers]
            tensors = [triton.Tensor(name, values) for name, values in zip(self._outputs, share, strict=True)]
            responses.append(triton.InferenceResponse(tensors))
            start += rows
        return responses
