"""ONNX graphs executed in this process by onnxruntime."""

from typing import Any

import numpy as np

from serving.backends.backend import InProcess, Tensors, rows_of
from serving.errors import BackendRefused, ContractError

_FLOAT32 = np.dtype(np.float32)


class OnnxRuntimeBackend(InProcess):
    """One loaded graph. `run` may be called from several threads at once."""

    name = "onnxruntime"

    def __init__(self, model: bytes, threads: int, device: str = "cpu") -> None:
        """model: a serialised ONNX graph; threads: intra-op threads of one call.

        device: cpu; cuda, or ContractError where it cannot be used; auto: cuda where there is one. What has no CUDA
        kernel, as trees, computes on the processor all the same. Raises ContractError.
        """
        import onnxruntime  # 60 MB and 0.2 s: only for who loads a model

        from serving.backends import output_kernels  # with Numba: likewise

        cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        if device == "cuda" and not cuda:
            raise ContractError("onnxruntime: this installation has no CUDA (it comes with onnxruntime-gpu)")
        # not in TF32, which has 10 bits of mantissa: answers are held to 1e-5
        providers = [("CUDAExecutionProvider", {"use_tf32": "0"})] if cuda and device != "cpu" else []
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=[*providers, "CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own, some straight below Exception
            raise ContractError(f"model.onnx: onnxruntime cannot load it: {error}") from error
        self._all_finite = output_kernels.all_finite
        self.device = "cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu"
        if device == "cuda" and self.device != "cuda":
            raise ContractError("onnxruntime: CUDA is installed, and cannot be used here")
        self.inputs: dict[str, tuple[Any, ...]] = {t.name: tuple(t.shape) for t in self._session.get_inputs()}
        self.outputs = [tensor.name for tensor in self._session.get_outputs()]

    def run(self, tensors: Tensors) -> Tensors:
        """Graph inputs by name, float32[n, ...], n > 0 -> graph outputs by name, [n, ...].

        Raises BackendRefused, also when an output is no number in some place: these rows make the graph overflow.
        """
        if not rows_of(tensors):
            raise BackendRefused("onnxruntime: no rows, at which some graphs end the process")
        try:
            outputs = dict(zip(self.outputs, self._session.run(None, tensors), strict=True))
        except Exception as error:  # as above
            raise BackendRefused(f"onnxruntime: {type(error).__name__}") from error
        for name, values in outputs.items():
            if values.dtype == _FLOAT32 and not self._all_finite(values.reshape(-1)):
                raise BackendRefused(f"onnxruntime: output {name} is no number in some place")
        return outputs
