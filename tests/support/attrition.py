"""A small model of attrition's shape: two horizons of which the second is never less likely, and a threshold.

It reads the inputs of `histories` and gives its graph the same features and window.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.contract import Contract, Output, ProbabilityOutput
from tests.support import histories
from tests.support.models import text

MODEL = "attrition"
THRESHOLD = 0.35
"""No float32: who compares has to round it first, as the graph does."""


def outputs(threshold: float = THRESHOLD) -> tuple[Output, ...]:
    """What the contract promises."""
    return (
        ProbabilityOutput("probability_3m", text("leaves within 3 months"), "probability_3m"),
        ProbabilityOutput("probability_6m", text("leaves within 6 months"), "probability_6m", threshold, "label"),
    )


def contract(threshold: float = THRESHOLD, **changes: Any) -> Contract:
    """The contract; `changes` of its fields."""
    return histories.contract(MODEL, outputs=outputs(threshold), **changes)


def write_version(root: Path, threshold: float = THRESHOLD, **changes: Any) -> Path:
    """Write `root/attrition/1`; the folder."""
    made = contract(threshold, **changes)
    return histories.write_files(root, 1, made, _graph(threshold), lambda *read: answers(*read, threshold))


def answers(features: np.ndarray, window: np.ndarray, threshold: float = THRESHOLD) -> dict[str, np.ndarray]:
    """What the graph answers, computed in NumPy: two probabilities float32[n] and the label int32[n]."""
    of_features, of_window, shift = _weights()
    score = features @ of_features + window.reshape(len(window), -1) @ of_window + shift
    hazard = (1 / (1 + np.exp(-score))).astype(np.float32)
    first, second = hazard.T
    within_6 = first + (1 - first) * second
    return {
        "probability_3m": first,
        "probability_6m": within_6,
        "label": (within_6 >= np.float32(threshold)).astype(np.int32),
    }


def _weights() -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(3002)
    sizes = (len(histories.FEATURES), histories.MONTHS * len(histories.WINDOW))
    return (
        *(random.normal(scale=0.05, size=(size, 2)).astype(np.float32) for size in sizes),
        np.array([-2, -1.5], np.float32),
    )


def _graph(threshold: float) -> onnx.ModelProto:
    of_features, of_window, shift = _weights()
    constants = {
        "features.w": of_features,
        "window.w": of_window,
        "shift": shift,
        "one": np.float32(1),
        "threshold": np.float32(threshold),
        "flat": np.array([-1, len(of_window)], np.int64),
        "first": np.int64(0),
        "second": np.int64(1),
    }
    nodes = [
        helper.make_node("MatMul", ["features", "features.w"], ["of_features"]),
        helper.make_node("Reshape", ["history", "flat"], ["months"]),
        helper.make_node("MatMul", ["months", "window.w"], ["of_months"]),
        helper.make_node("Sum", ["of_features", "of_months", "shift"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["hazards"]),
        helper.make_node("Gather", ["hazards", "first"], ["probability_3m"], axis=1),
        helper.make_node("Gather", ["hazards", "second"], ["later"], axis=1),
        helper.make_node("Sub", ["one", "probability_3m"], ["stays"]),
        helper.make_node("Mul", ["stays", "later"], ["leaves_later"]),
        helper.make_node("Add", ["probability_3m", "leaves_later"], ["probability_6m"]),
        helper.make_node("GreaterOrEqual", ["probability_6m", "threshold"], ["above"]),
        helper.make_node("Cast", ["above"], ["label"], to=TensorProto.INT32),
    ]
    window = ["n", histories.MONTHS, len(histories.WINDOW)]
    graph = helper.make_graph(
        nodes,
        "two_horizons",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(of_features)]),
            helper.make_tensor_value_info("history", TensorProto.FLOAT, window),
        ],
        [
            helper.make_tensor_value_info("probability_3m", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("probability_6m", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("label", TensorProto.INT32, ["n"]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
