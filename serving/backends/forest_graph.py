"""An ONNX graph read as a forest: one TreeEnsembleRegressor, simple steps after it, and the label of the likeliest."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from serving.backends import forest_trees
from serving.backends.forest_kernels import ADD, LOG, MAX, MUL, SIGMOID, SOFTMAX
from serving.backends.forest_trees import OPERATOR, Trees, Unsupported
from serving.stubs.foreign.onnx_pb2 import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

_ML_DOMAIN, _ML_VERSIONS, _VERSIONS = "ai.onnx.ml", range(1, 5), range(7, 27)
"""Versions of the operators in which the nodes known here mean what is computed here."""
_OF_TWO = {"Max": MAX, "Mul": MUL, "Add": ADD}
_OF_ONE = {"Log": LOG, "Sigmoid": SIGMOID, "Softmax": SOFTMAX}

__all__ = ["ForestGraph", "Step", "Trees", "Unsupported", "read"]


@dataclass(frozen=True)
class Step:
    """What is done to all scores, one after the other; `code` as in forest_kernels."""

    code: int
    constant: NDArray[np.float32]
    """float32[C]: the second operand of each score; 0 where there is none."""


@dataclass(frozen=True)
class ForestGraph:
    """float32[n, F] -> trees -> steps -> scores float32[n, C], label int32[n]."""

    reads: str
    """Name of the input."""
    trees: Trees
    steps: tuple[Step, ...]
    scores: str
    """Name under which the graph gives what the last step makes."""
    squeezed: bool
    """`scores` is given as [n]; C is 1."""
    label: str
    """Name of the label: the first score of the largest. Empty when there is none."""
    gives: frozenset[str]
    """Names of all outputs of the graph."""


def read(model: bytes) -> ForestGraph:
    """A serialised ONNX model as a forest. Raises Unsupported, with the reason, when it is more or other than one."""
    message = ModelProto()
    try:
        message.ParseFromString(model)
    except DecodeError as error:
        raise Unsupported("these bytes are no ONNX model") from error
    _check_versions(message)
    graph = message.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    first = _single_forest(graph)
    name, features = _input(graph, constants)
    if list(first.input) != [name]:
        raise Unsupported(f"{OPERATOR} reads something else than the input {name}")
    trees = forest_trees.read(first, features)
    chain = _Chain(trees, _only_output(first), constants)
    for node in graph.node[1:]:  # ONNX has them sorted: each stands below those that it reads
        chain.take(node)
    gives = frozenset(value.name for value in graph.output)
    return ForestGraph(name, trees, tuple(chain.steps), chain.scores, chain.squeezed, chain.label, gives)


def _check_versions(message: ModelProto) -> None:
    if message.functions or message.graph.sparse_initializer:
        raise Unsupported("functions and sparse constants are not known")
    for opset in message.opset_import:
        known = {"": _VERSIONS, "ai.onnx": _VERSIONS, _ML_DOMAIN: _ML_VERSIONS}.get(opset.domain)
        if known is not None and opset.version not in known:
            raise Unsupported(f"operators {opset.domain or 'ai.onnx'} of version {opset.version} are not known")


def _single_forest(graph: GraphProto) -> NodeProto:
    """The only TreeEnsembleRegressor, after a look for nodes that are known nowhere."""
    known = {OPERATOR, *_OF_ONE, *_OF_TWO, "Squeeze", "ArgMax", "Cast"}
    for node in graph.node:
        if node.op_type not in known or node.domain != (_ML_DOMAIN if node.op_type == OPERATOR else ""):
            raise Unsupported(f"node {node.op_type}: only one {OPERATOR} and a calibration are known")
    forests = [node for node in graph.node if node.op_type == OPERATOR]
    if len(forests) != 1:
        raise Unsupported(f"{len(forests)} nodes {OPERATOR}: only one and a calibration are known")
    if graph.node[0].op_type != OPERATOR:
        raise Unsupported(f"node {graph.node[0].op_type} stands before {OPERATOR}")
    return forests[0]


def _input(graph: GraphProto, constants: Mapping[str, TensorProto]) -> tuple[str, int]:
    """Name and F of the only input."""
    inputs: list[ValueInfoProto] = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise Unsupported(f"{len(inputs)} inputs, only one is known")
    tensor, name = inputs[0].type.tensor_type, inputs[0].name
    dims = tensor.shape.dim
    if tensor.elem_type != TensorProto.FLOAT:
        raise Unsupported(f"input {name}: numbers of type {tensor.elem_type}, only float32 is known")
    if len(dims) != 2 or dims[0].HasField("dim_value") or dims[1].dim_value <= 0:
        raise Unsupported(f"input {name}: its shape is not [N, a number of features]")
    return name, int(dims[1].dim_value)


class _Chain:
    """The steps, as they are met: each takes what the one before it made."""

    def __init__(self, trees: Trees, made: str, constants: Mapping[str, TensorProto]) -> None:
        self.steps: list[Step] = []
        self.scores, self.squeezed, self.label = made, False, ""
        self._likeliest = ""
        self._targets, self._constants = len(trees.base), constants

    def take(self, node: NodeProto) -> None:
        """Raises Unsupported for a node that does not go on from here."""
        kind, made = node.op_type, _only_output(node)
        if kind == "Cast" and self._likeliest and list(node.input) == [self._likeliest] and not self.label:
            _check_attributes(node, {"to": TensorProto.INT32}, {"to": 0})
            self.label = made
        elif self.scores not in node.input:
            raise Unsupported(f"node {kind}: it does not read what the nodes before it made")
        elif kind == "ArgMax" and not self._likeliest and not self.squeezed:
            _check_attributes(node, {"axis": 1, "keepdims": 0, "select_last_index": 0}, {"axis": 0, "keepdims": 1})
            self._likeliest = made
        elif self._likeliest or self.squeezed or kind in ("ArgMax", "Cast"):
            raise Unsupported(f"node {kind}: nothing but one label is known after the scores")
        elif kind == "Squeeze":
            self._squeeze(node)
            self.scores, self.squeezed = made, True
        else:
            self.steps.append(self._step(node))
            self.scores = made

    def _step(self, node: NodeProto) -> Step:
        if node.op_type in _OF_ONE:
            if len(node.input) != 1:
                raise Unsupported(f"node {node.op_type}: {len(node.input)} inputs, expected one")
            if node.op_type == "Softmax":
                _check_attributes(node, {"axis": 1}, {"axis": 1})  # of two axes, 1 was and is the default
            else:
                _check_attributes(node, {}, {})
            return Step(_OF_ONE[node.op_type], np.zeros(self._targets, np.float32))
        _check_attributes(node, {}, {})
        others = [name for name in node.input if name != self.scores]
        if len(node.input) != 2 or len(others) != 1 or others[0] not in self._constants:
            raise Unsupported(f"node {node.op_type}: only of the scores and one constant")
        constant = _floats(self._constants[others[0]])
        if constant.ndim > 2 or (constant.size != 1 and constant.shape[-1:] != (self._targets,)):
            raise Unsupported(f"constant {others[0]}: {list(constant.shape)} for {self._targets} scores")
        if not np.isfinite(constant).all():
            raise Unsupported(f"constant {others[0]}: not finite")
        return Step(_OF_TWO[node.op_type], np.broadcast_to(constant.ravel(), self._targets).copy())

    def _squeeze(self, node: NodeProto) -> None:
        """[n, 1] -> [n]; the axes stand in an attribute, since version 13 in a constant."""
        axes = [list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"]
        axes += [_integers(self._constants.get(name, TensorProto())) for name in node.input[1:]]
        if self._targets != 1 or axes not in ([[1]], [[-1]]) or node.input[0] != self.scores:
            raise Unsupported("node Squeeze: only axis 1 of one score")


def _only_output(node: NodeProto) -> str:
    if len(node.output) != 1:
        raise Unsupported(f"node {node.op_type}: {len(node.output)} outputs, expected one")
    return str(node.output[0])


def _check_attributes(node: NodeProto, expected: Mapping[str, int], default: Mapping[str, int]) -> None:
    """Integer attributes. -1 is the last of two axes."""
    given = {attribute.name: attribute.i for attribute in node.attribute}
    if unknown := sorted(given.keys() - expected.keys()):
        raise Unsupported(f"node {node.op_type}: attribute {unknown[0]} is not known")
    for name, value in expected.items():
        came = given.get(name, default.get(name, value))
        if came != value and not (name == "axis" and came == value - 2):
            raise Unsupported(f"node {node.op_type}: {name} is {came}, only {value} is known")


def _floats(tensor: TensorProto) -> NDArray[np.float32]:
    """A constant. Raises Unsupported for one of other numbers, or kept elsewhere."""
    return _values(tensor, TensorProto.FLOAT, "<f4", tensor.float_data)


def _integers(tensor: TensorProto) -> list[int]:
    return [int(value) for value in _values(tensor, TensorProto.INT64, "<i8", tensor.int64_data).ravel()]


def _values(tensor: TensorProto, kind: int, code: str, listed: object) -> NDArray[np.float32]:
    if tensor.data_type != kind or tensor.data_location != TensorProto.DEFAULT:
        raise Unsupported(f"constant {tensor.name}: numbers of type {tensor.data_type} are not known here")
    try:
        values = np.frombuffer(tensor.raw_data, code) if tensor.raw_data else np.array(listed, code)
        return values.reshape(tuple(tensor.dims))
    except ValueError as error:
        raise Unsupported(f"constant {tensor.name}: its numbers do not fit its shape") from error
