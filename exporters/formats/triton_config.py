"""How Triton is to serve a model: on processors, `config.pbtxt`, and on GPUs, `configs/gpu.pbtxt`.

Triton takes the second with `--model-config-name=gpu`. Both are for all versions, so nothing in them depends on one.
"""

import json

from serving.contract import Contract

CPU, GPU = "config.pbtxt", "configs/gpu.pbtxt"
"""Where the files lie, relative to the model's folder."""
MAX_BATCH = 1024
_TYPES = {"float32": "TYPE_FP32", "int32": "TYPE_INT32"}


_BATCHING = """\
# A request goes to an idle instance at once (max_queue_delay_microseconds is 0); those that come while all instances
# are busy wait together and go as one batch. No preferred sizes: these graphs take any number of rows.
dynamic_batching { }
"""
_ON_CPU = """\
# One instance on one core; count may be as many as there are cores. One thread: whatever else is in its batch, a row's
# answer is the same to the last bit.
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
"""
_ON_GPU = """\
# One instance on each GPU.
instance_group [ { kind: KIND_GPU } ]
"""


def render(contract: Contract) -> dict[str, str]:
    """Both files: path -> text (format: Triton's model_config.proto)."""
    common = _model(contract) + _BATCHING + "version_policy { latest { num_versions: 1 } }\n"
    return {CPU: common + _ON_CPU, GPU: common + _ON_GPU}


def former(contract: Contract) -> str:
    """config.pbtxt as it was written when it was the only file: versions published then are still well."""
    return _model(contract) + "dynamic_batching { }\nversion_policy { latest { num_versions: 1 } }\n"


def _model(contract: Contract) -> str:
    """What the model is. Dimensions are without the batch, which Triton adds."""
    inputs = [_tensor(tensor.name, "float32", tensor.shape) for tensor in contract.tensors]
    outputs = [_tensor(name, kind, shape) for name, (kind, shape) in contract.graph_outputs().items()]
    return (
        f"name: {json.dumps(contract.model)}\n"
        'backend: "onnxruntime"\n'
        f"max_batch_size: {MAX_BATCH}\n"
        f"input [\n{_joined(inputs)}\n]\n"
        f"output [\n{_joined(outputs)}\n]\n"
    )


def _tensor(name: str, kind: str, shape: tuple[int, ...]) -> str:
    """A tensor of shape () is one number a row, [N]: Triton wants a dimension, and reshapes it away."""
    dims = f"dims: [ {', '.join(map(str, shape or (1,)))} ]"
    reshape = "" if shape else " reshape { shape: [ ] }"
    return f"  {{ name: {json.dumps(name)} data_type: {_TYPES[kind]} {dims}{reshape} }}"


def _joined(tensors: list[str]) -> str:
    return ",\n".join(tensors)
