"""A model of 300 trees as published versions are: 100 boosted trees for each of three classes, depth 6, 20 numbers."""

from pathlib import Path

import numpy as np

from exporters.formats import golden, onnx_graph, triton_config
from exporters.models.calibrated import CalibratedForest
from exporters.models.forest import from_xgboost
from exporters.publishing.publish import publish
from loadtest.backends.forest import learned
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.contract import FORMAT, ClassOutput, Contract, GraphInput, NumberInput, Program, Provenance, Step, Text
from serving.features.program import run_reference
from serving.features.rows import RowSchema

MODEL = "benchmark_model"
TREES = 300
DESCRIBED = "300 trees (100 boosted for each of three classes, depth 6), 20 numbers, clipped and filled where missing"


def write(repository: Path) -> None:
    """Train it, as the same data do every time, and publish it as version 1."""
    learner, X = learned(TREES, 0.0)
    calibrated = CalibratedForest(from_xgboost(learner), 0.9, np.array([0.1, 0.0, -0.1], np.float32))
    contract = _contract(X)
    graph = onnx_graph.write(calibrated, "classes")
    rows = X[: golden.ROWS].astype(np.float64)
    rows[np.random.default_rng(1).random(rows.shape) < 0.05] = np.nan
    columns = {raw.name: rows[:, number] for number, raw in enumerate(contract.inputs)}
    made = run_reference(contract, RowSchema(contract).assemble(columns, len(rows)))
    outputs = OnnxRuntimeBackend(graph, 1).run({"features": made.features})
    files = {
        "model.onnx": graph,
        "contract.json": contract.to_json(),
        "golden.npz": golden.to_bytes(golden.arrays(columns, made, outputs)),
    }
    publish(repository, MODEL, files, triton_config.render(contract), 1)


def _contract(X: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> Contract:
    """Each number within what training saw, 0 where it is missing."""
    inputs, steps = [], []
    for number in range(X.shape[1]):
        name, seen = f"number_{number}", (round(float(X[:, number].min()), 3), round(float(X[:, number].max()), 3))
        inputs.append(NumberInput(name=name, title=_text(name), unit="", low=-100, high=100, seen=seen, weight=1))
        steps.append(Step(op="clip", into=f"{name}:clipped", inputs=(name,), params=seen))
        steps.append(Step(op="impute", into=f"{name}:filled", inputs=(f"{name}:clipped",), params=(0.0,)))
    features = tuple(f"{raw.name}:filled" for raw in inputs)
    return Contract(
        format=FORMAT,
        model=MODEL,
        entity_type="row",
        title=_text(MODEL),
        inputs=tuple(inputs),
        program=Program(steps=tuple(steps), features=features),
        tensors=(GraphInput(name="features", shape=(len(features),)),),
        outputs=(ClassOutput(name="grade", title=_text("grade"), classes=("A", "B", "C")),),
        min_coverage=0.5,
        left_out=(),
        provenance=Provenance(
            data="random numbers",
            data_sha256="",
            rows=len(X),
            code="loadtest",
            algorithm="xgboost",
            seed=1,
            synthetic=True,
            versions={},
        ),
    )


def _text(name: str) -> Text:
    return Text(en=name, zh=name)
