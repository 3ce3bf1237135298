"""Forests computed in this process by our own kernels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.backends import forest_graph, forest_kernels, output_kernels
from serving.backends.backend import InProcess, Promised, Tensors
from serving.backends.forest_graph import ForestGraph, Unsupported
from serving.backends.forest_layout import lay_out
from serving.errors import BackendRefused

_FLOAT32, _INT32 = np.dtype(np.float32), np.dtype(np.int32)
_NO_LABEL = np.empty(0, _INT32)


class ForestBackend(InProcess):
    """One forest and its calibration. `run` may be called from several threads at once."""

    name = "forest"

    def __init__(self, model: bytes, promised: Promised) -> None:
        """model: a serialised ONNX graph. Raises Unsupported when it is more or other than a forest, or lacks an
        output that is promised.
        """
        graph = forest_graph.read(model)
        self.model = lay_out(graph)
        self.reads, self._row = graph.reads, (graph.trees.features,)
        self.targets = len(graph.trees.base)
        self.scores, self.label = _outputs(graph, promised)
        self._squeezed = graph.squeezed
        self.inputs: dict[str, tuple[Any, ...]] = {graph.reads: ("N", graph.trees.features)}

    def run(self, tensors: Tensors) -> Tensors:
        """The graph's input by name, float32[n, F] -> promised outputs by name.

        Raises BackendRefused, also when a score is no number: the sums of some row overflow.
        """
        X = tensors.get(self.reads)
        if X is None or X.dtype != _FLOAT32 or X.shape[1:] != self._row:
            raise BackendRefused(f"forest: {self.reads} is not float32[n, {self._row[0]}]")
        if not X.flags.carray:
            X = np.array(X, order="C")  # kernels are compiled for arrays that may be written to and follow each other
        n = len(X)
        scores = np.empty((n, self.targets), _FLOAT32)
        label = np.empty(n, _INT32) if self.label else _NO_LABEL
        forest_kernels.answer(X, self.model, scores, label)
        if not output_kernels.all_finite(scores.reshape(-1)):
            raise BackendRefused(f"forest: output {self.scores or self.label} is no number in some place")
        outputs: dict[str, NDArray[Any]] = {}
        if self.scores:
            outputs[self.scores] = scores.reshape(n) if self._squeezed else scores
        if self.label:
            outputs[self.label] = label
        return outputs


def _outputs(graph: ForestGraph, promised: Promised) -> tuple[str, str]:
    """The names of scores and label, empty where they are not promised. Raises Unsupported."""
    known = {graph.scores: ("float32", () if graph.squeezed else (len(graph.trees.base),)), graph.label: ("int32", ())}
    for name, (kind, shape) in promised.items():
        if name not in graph.gives:
            raise Unsupported(f"output {name} is promised, the graph has none of that name")
        if name not in known:
            raise Unsupported(f"output {name} is neither the last scores nor the label")
        if known[name] != (kind, tuple(shape)):
            made, dims = known[name]
            raise Unsupported(f"output {name}: {made}{list(dims)} a row, {kind}{list(shape)} is promised")
    return (graph.scores if graph.scores in promised else "", graph.label if graph.label in promised else "")
