"""An ONNX graph under construction: nodes in order and their constants, each under a name of its own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.formats.shapes import LABEL, Shapes

IR_VERSION = 8  # with the opsets below: read by every runtime since ONNX 1.13
OPSET, ML_OPSET = 18, 3
ML_DOMAIN = "ai.onnx.ml"


class OnnxBuilder:
    """What is added under the same names in the same order always gives the same bytes."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, reads: list[str], into: str, domain: str = "", **attributes: Any) -> str:
        """A node that writes the value `into`, whose name is returned."""
        return self.add_last(operator, reads, [into], domain, **attributes)

    def add_last(self, operator: str, reads: list[str], into: list[str], domain: str = "", **attributes: Any) -> str:
        """A node of several outputs, of which the last is wanted; the others may be named ""."""
        from onnx import helper

        self._nodes.append(helper.make_node(operator, reads, into, name=into[-1], domain=domain, **attributes))
        return into[-1]

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """A constant tensor; its name is returned."""
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def to_bytes(self, name: str, inputs: Shapes, outputs: Shapes) -> bytes:
        """The checked model. Shapes are without the batch `N`, which is free; an output named `label` is int32."""
        from onnx import TensorProto, checker, helper

        def described(tensors: Shapes) -> list[Any]:
            return [
                helper.make_tensor_value_info(
                    tensor, TensorProto.INT32 if tensor == LABEL else TensorProto.FLOAT, ["N", *shape]
                )
                for tensor, shape in tensors.items()
            ]

        graph = helper.make_graph(self._nodes, name, described(inputs), described(outputs), self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="epm-export")
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
