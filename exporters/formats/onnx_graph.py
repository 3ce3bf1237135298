"""A trained model as an ONNX graph: core operators and TreeEnsemble, the same bytes for the same model."""

import numpy as np

from exporters.formats import onnx_forest, onnx_network, shapes
from exporters.formats.onnx_builder import OnnxBuilder
from exporters.models.blend import Blend
from exporters.models.calibrated import LEAST, CalibratedForest
from exporters.models.inputs import FEATURES, HISTORY


def write(model: CalibratedForest | Blend, name: str) -> bytes:
    """A graph whose batch N is free; all numbers are float32, `label` is int32[N].

    Of classes: `features` [N, F] -> `probabilities` [N, C], `label`. Of two horizons: `features` [N, F] and `history`
    [N, T, K] -> `probability_3m` [N], `probability_6m` [N], `label`. Raises ValueError when parts of `model` do not
    fit each other.
    """
    graph = OnnxBuilder()
    inputs = shapes.inputs(model)
    if isinstance(model, CalibratedForest):
        _classes(graph, model)
    else:
        _horizons(graph, model)
    return graph.to_bytes(name, inputs, shapes.outputs(model))


def _classes(graph: OnnxBuilder, model: CalibratedForest) -> None:
    scores = onnx_forest.add(graph, model.forest, FEATURES, "forest")
    if model.forest.link == "identity":
        least = graph.constant("least", np.array(LEAST, np.float32))
        scores = graph.add("Log", [graph.add("Max", [scores, least], "shares")], "log_shares")
    slope = graph.constant("slope", np.array(model.slope, np.float32))
    sloped = graph.add("Mul", [scores, slope], "sloped")
    calibrated = graph.add("Add", [sloped, graph.constant("shift", model.shift)], "calibrated")
    graph.add("Softmax", [calibrated], shapes.PROBABILITIES, axis=1)
    likeliest = graph.add("ArgMax", [shapes.PROBABILITIES], "likeliest", axis=1, keepdims=0)
    _label(graph, likeliest)


def _horizons(graph: OnnxBuilder, model: Blend) -> None:
    """Only parts with a weight become nodes."""
    parts = []
    if model.network_weight.any():
        logits = onnx_network.add(graph, model.network, FEATURES, HISTORY, "network")
        weight = graph.constant("network_weight", model.network_weight)
        parts.append(graph.add("Mul", [logits, weight], "weighed_network"))
    if model.forest_weight.any():
        months = graph.add("Flatten", [HISTORY], "months", axis=1)
        flat = graph.add("Concat", [FEATURES, months], "flat", axis=1)
        scores = onnx_forest.add(graph, model.forest, flat, "forest")
        weight = graph.constant("forest_weight", model.forest_weight)
        parts.append(graph.add("Mul", [scores, weight], "weighed_forest"))
    joined = parts[0] if len(parts) == 1 else graph.add("Add", parts, "joined")
    shifted = graph.add("Add", [joined, graph.constant("shift", model.shift)], "shifted")
    _probabilities(graph, graph.add("Sigmoid", [shifted], "hazards"), model.threshold)


def _probabilities(graph: OnnxBuilder, hazards: str, threshold: np.float32) -> None:
    """hazards: name of [N, 2]. The later probability is the earlier one and something: never below it."""
    earlier, later = (graph.constant(f"period_{period}", np.array(period, np.int64)) for period in (0, 1))
    graph.add("Gather", [hazards, earlier], shapes.PROBABILITY_3M, axis=1)
    second = graph.add("Gather", [hazards, later], "second_hazard", axis=1)
    stays = graph.add("Sub", [graph.constant("one", np.array(1, np.float32)), shapes.PROBABILITY_3M], "stays")
    leaves_later = graph.add("Mul", [stays, second], "leaves_later")
    graph.add("Add", [shapes.PROBABILITY_3M, leaves_later], shapes.PROBABILITY_6M)
    limit = graph.constant("threshold", np.array(threshold, np.float32))
    _label(graph, graph.add("GreaterOrEqual", [shapes.PROBABILITY_6M, limit], "at_least_threshold"))


def _label(graph: OnnxBuilder, reads: str) -> None:
    from onnx import TensorProto

    graph.add("Cast", [reads], shapes.LABEL, to=TensorProto.INT32)
