"""Forests: the gateway's kernel, onnxruntime, xgboost itself on the same trees; one thread each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.formats import onnx_graph, shapes
from exporters.models.calibrated import CalibratedForest
from exporters.models.forest import from_xgboost
from loadtest.backends import forest
from loadtest.backends.forest import DEPTH, TOLERANCE, Matrix, Work
from loadtest.kernels.case import Case, DifferentError, over
from serving.backends.backend import Promised
from serving.backends.forest import ForestBackend
from serving.backends.onnxruntime import OnnxRuntimeBackend

COUNTED = (
    "the rows read, the scores written, and of each tree and row one node a level (8 bytes) and one leaf (4): "
    "the trees stay in the caches, so this is work in the caches and no traffic with the memory"
)
ROWS = (1, 64, 1024)
TREES = (100, 300)
_NODE, _LEAF = 8, 4


def cases() -> Iterator[Case]:
    """100 trees that give one margin, 300 that give probabilities of three classes. Raises DifferentError."""
    for trees in TREES:
        learner, X = forest.learned(trees, 0.0)
        work, output = _work(trees, learner, X)
        booster = learner.get_booster()
        booster.set_param({"nthread": 1})
        for rows in ROWS:
            yield _case(work, output, booster, trees, rows)


def _work(trees: int, learner: Any, X: Matrix) -> tuple[Work, str]:
    """The model as ONNX, and the output that xgboost gives as well."""
    if trees == 100:
        return forest.trained(trees, 0.0), "margin"
    plain = CalibratedForest(from_xgboost(learner), 1.0, np.zeros(3, np.float32))
    promised: Promised = {shapes.PROBABILITIES: ("float32", (3,)), shapes.LABEL: ("int32", ())}
    return Work(f"{trees} trees", onnx_graph.write(plain, "classes"), promised, X), shapes.PROBABILITIES


def _case(work: Work, output: str, booster: Any, trees: int, rows: int) -> Case:
    from xgboost import DMatrix

    margin = output == "margin"
    batches = work.batches(max(8, 8192 // rows), rows, 1)
    ours, other = ForestBackend(work.model, work.promised), OnnxRuntimeBackend(work.model, threads=1)

    def in_place(X: Matrix) -> NDArray[np.float32]:
        return booster.inplace_predict(X, predict_type="margin" if margin else "value")  # type: ignore[no-any-return]

    def with_matrix(X: Matrix) -> NDArray[np.float32]:
        return booster.predict(DMatrix(X, nthread=1), output_margin=margin)  # type: ignore[no-any-return]

    expected = ours.run({"features": batches[0]})[output]
    answers = {
        "onnxruntime": other.run({"features": batches[0]})[output],
        "xgboost, in place": in_place(batches[0]),
        "xgboost, DMatrix": with_matrix(batches[0]),
    }
    for way, found in answers.items():
        if not np.allclose(found.reshape(expected.shape), expected, rtol=TOLERANCE, atol=TOLERANCE):
            raise DifferentError(f"{trees} trees, {rows} rows: {way} gives another {output}")
    named = [{"features": X} for X in batches]
    ways = {
        "the gateway's forest": over(ours.run, named),
        "onnxruntime": over(other.run, named),
        "xgboost, in place": over(in_place, batches),
        "xgboost, DMatrix": over(with_matrix, batches),
    }
    moved = batches[0].nbytes + expected.nbytes + rows * trees * (DEPTH * _NODE + _LEAF)
    return Case("forest", f"{trees} trees of depth {DEPTH}", rows, ways, moved)
