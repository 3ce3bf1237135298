"""ONNX graphs executed in this process by onnxruntime."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from serving.errors import ContractError


class OnnxRuntimeBackend:
    """One loaded graph. `run` may be called from several threads at once."""

    name = "onnxruntime"

    def __init__(self, model: bytes, threads: int) -> None:
        """model: a serialised ONNX graph; threads: intra-op threads of one call. Raises ContractError."""
        import onnxruntime  # 60 MB and 0.2 s: only for who loads a model

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own, some straight below Exception
            raise ContractError(f"model.onnx: onnxruntime cannot load it: {error}") from error
        self.inputs = {tensor.name: tuple(tensor.shape) for tensor in self._session.get_inputs()}
        self.outputs = [tensor.name for tensor in self._session.get_outputs()]

    def run(self, tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
        """Graph inputs by name, float32[n, ...] -> graph outputs by name, [n, ...]."""
        return dict(zip(self.outputs, self._session.run(None, tensors), strict=True))
