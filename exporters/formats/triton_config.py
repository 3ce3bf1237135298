"""`config.pbtxt`: how Triton is to serve a model. One file for all versions, so nothing in it depends on a version."""

import json

from serving.contract import Contract

MAX_BATCH = 1024
_TYPES = {"float32": "TYPE_FP32", "int32": "TYPE_INT32"}


def render(contract: Contract) -> str:
    """Text of the file (format: Triton's model_config.proto). Dimensions are without the batch, which Triton adds."""
    inputs = [_tensor(tensor.name, "float32", tensor.shape) for tensor in contract.tensors]
    outputs = [_tensor(name, kind, shape) for name, (kind, shape) in contract.graph_outputs().items()]
    return (
        f"name: {json.dumps(contract.model)}\n"
        'backend: "onnxruntime"\n'
        f"max_batch_size: {MAX_BATCH}\n"
        f"input [\n{_joined(inputs)}\n]\n"
        f"output [\n{_joined(outputs)}\n]\n"
        "dynamic_batching { }\n"
        "version_policy { latest { num_versions: 1 } }\n"
    )


def _tensor(name: str, kind: str, shape: tuple[int, ...]) -> str:
    """A tensor of shape () is one number a row, [N]: Triton wants a dimension, and reshapes it away."""
    dims = f"dims: [ {', '.join(map(str, shape or (1,)))} ]"
    reshape = "" if shape else " reshape { shape: [ ] }"
    return f"  {{ name: {json.dumps(name)} data_type: {_TYPES[kind]} {dims}{reshape} }}"


def _joined(tensors: list[str]) -> str:
    return ",\n".join(tensors)
