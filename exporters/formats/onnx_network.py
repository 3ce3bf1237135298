"""A wide and deep network as ONNX nodes, with the operator LSTM for the months.

Operator: https://onnx.ai/onnx/operators/onnx__LSTM.html, version 14: gates in the order input, output, forget, cell;
weights [directions, 4H, K] and [directions, 4H, H]; biases of input and of state, here all of them of the input.
"""

import numpy as np
from numpy.typing import NDArray

from exporters.formats.onnx_builder import OnnxBuilder
from exporters.models.network import WideDeep

_KERAS_TO_ONNX = (0, 3, 1, 2)  # input, forget, cell, output -> input, output, forget, cell


def add(graph: OnnxBuilder, network: WideDeep, features: str, history: str, into: str) -> str:
    """Add the nodes. features: name of float32[N, F]; history: of [N, T, K]; into: name of the logits, [N, O]."""
    state = _lstm(graph, network, history)
    hidden = _dense(graph, state, network.hidden, network.hidden_bias, "hidden")
    active = graph.add("Relu", [hidden], "hidden_active")
    deep = graph.add("MatMul", [active, graph.constant("head_weights", network.head)], "deep")
    wide = _dense(graph, features, network.wide, network.wide_bias, "wide")
    return graph.add("Add", [wide, deep], into)


def _lstm(graph: OnnxBuilder, network: WideDeep, history: str) -> str:
    """The last state, [N, H]. The operator wants months first."""
    units = network.recurrent.shape[0]
    months_first = graph.add("Transpose", [history], "months_first", perm=[1, 0, 2])
    biases = np.concatenate([_gates(network.gates), np.zeros_like(network.gates)])
    weights = [
        graph.constant("lstm_kernel", _gates(network.kernel).T[None]),
        graph.constant("lstm_recurrent", _gates(network.recurrent).T[None]),
        graph.constant("lstm_biases", biases[None]),
    ]
    state = graph.add_last("LSTM", [months_first, *weights], ["", "lstm_state"], hidden_size=units)
    return graph.add("Squeeze", [state, graph.constant("first_axis", np.array([0], np.int64))], "last_state")


def _gates(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blocks of the last axis from Keras's order of gates to that of ONNX."""
    blocks = np.split(weights, 4, axis=-1)
    return np.concatenate([blocks[gate] for gate in _KERAS_TO_ONNX], axis=-1)


def _dense(graph: OnnxBuilder, reads: str, weights: NDArray[np.float32], biases: NDArray[np.float32], into: str) -> str:
    constants = [graph.constant(f"{into}_weights", weights), graph.constant(f"{into}_biases", biases)]
    return graph.add("Gemm", [reads, *constants], into)
