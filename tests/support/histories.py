"""A small model that reads every kind of input, monthly histories among them, and gives a window to its graph."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.contract import (
    CategoryInput,
    Contract,
    DateInput,
    GraphInput,
    HistoryInput,
    NumberInput,
    ProbabilityOutput,
    Program,
    Step,
    TextInput,
)
from serving.features.program import compile_program, run_reference
from serving.features.rows import RowSchema
from tests.support import models
from tests.support.models import DEPARTMENTS, text, write_digests

MONTHS = 12
NAMES = ("overtime", "sick_days")
INPUTS = (
    NumberInput("hours", text("hours"), "h/week", low=0, high=168, seen=(10, 70), weight=1),
    HistoryInput("overtime", text("overtime"), "h", low=0, high=300, seen=(0, 80), weight=4),
    CategoryInput("department", text("department"), DEPARTMENTS, weight=1),
    TextInput("role", text("role"), weight=1),
    DateInput("hired", text("hired"), low=0, weight=1),
    HistoryInput("sick_days", text("sick days"), "days", low=0, high=31, seen=(0, 31), weight=2),
)
STEPS = (
    Step("impute", "hours.filled", ("hours",), (40.0,)),
    Step("mean", "overtime.mean", ("overtime",), (12.0,)),
    Step("impute", "overtime.mean.filled", ("overtime.mean",), (8.0,)),
    Step("slope", "overtime.slope", ("overtime",), (6.0,)),
    Step("impute", "overtime.slope.filled", ("overtime.slope",), (0.0,)),
    Step("months_since", "sick.since", ("sick_days",), (0.5,)),
    Step("impute", "sick.since.filled", ("sick.since",), (36.0,)),
    Step("target_encode", "department.rate", ("department",), (0.1, 0.2, 0.3, 0.2, 0.25)),
    Step("hash_bucket", "role.bucket", ("role",), (4.0, 7.0)),
    *(Step("one_hot", f"role={number}", ("role.bucket",), (float(number),)) for number in range(4)),
    Step("year", "hired.year", ("hired",)),
    Step("impute", "hired.year.filled", ("hired.year",), (2020.0,)),
    Step("scale", "hired.year.scaled", ("hired.year.filled",), (2020.0, 5.0)),
    Step("scale", "overtime.scaled", ("overtime",), (8.0, 10.0)),
    Step("impute", "overtime.window", ("overtime.scaled",), (0.0,)),
    Step("impute", "sick.window", ("sick_days",), (0.0,)),
)
FEATURES = (
    "hours.filled",
    "overtime.mean.filled",
    "overtime.slope.filled",
    "sick.since.filled",
    "department.rate",
    *(f"role={number}" for number in range(4)),
    "hired.year.scaled",
)
WINDOW = ("overtime.window", "sick.window", "mask")


Answers = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]
"""Features float32[n, F] and window float32[n, T, K] -> outputs by name."""


def contract(model: str = "leaves", **changes: Any) -> Contract:
    """The contract; `changes` of its fields."""
    made = msgspec.structs.replace(
        models.contract(model, (ProbabilityOutput("leaves", text("leaves"), "probability"),)),
        inputs=INPUTS,
        months=MONTHS,
        program=Program(steps=STEPS, features=FEATURES, window=WINDOW),
        tensors=(GraphInput("features", (len(FEATURES),)), GraphInput("history", (MONTHS, len(WINDOW)))),
    )
    return msgspec.structs.replace(made, **changes)


def columns(rows: int, seed: int) -> dict[str, Any]:
    """Raw rows with missing cells; some histories are shorter (missing at the front), some have holes."""
    random = np.random.default_rng(seed)

    def some(values: np.ndarray, share: float = 0.2) -> np.ndarray:
        return np.where(random.random(values.shape) < share, np.nan, values)

    short = np.arange(MONTHS) < random.integers(0, MONTHS + 1, (rows, 1))
    return {
        "hours": some(random.uniform(0, 168, rows)),
        "overtime": np.where(short, np.nan, some(random.uniform(0, 90, (rows, MONTHS)).round(1))),
        "department": random.choice([*DEPARTMENTS, "elsewhere", ""], rows).tolist(),
        "role": random.choice(["engineer", "工程师", "clerk", ""], rows).tolist(),
        "hired": random.choice(["2020-02-29", "1999-12-31", "2026-01-01", ""], rows).tolist(),
        "sick_days": np.where(short, np.nan, some(random.integers(0, 9, (rows, MONTHS)) * 1.0)),
    }


def write_version(root: Path, model: str = "leaves", version: int = 1, seed: int = 0, **changes: Any) -> Path:
    """Write `root/model/version`, a linear graph over features and window drawn from `seed`; the folder."""
    return write_files(
        root,
        version,
        contract(model, **changes),
        _graph(_weights(seed)),
        lambda features, window: {"probability": answers(features, window, seed)},
        seed,
    )


def write_files(
    root: Path, version: int, made: Contract, graph: onnx.ModelProto, answered: Answers, seed: int = 0
) -> Path:
    """Write a version of a model that reads `columns`; `answered`: what its graph gives by name; the folder."""
    folder = root / made.model / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "contract.json").write_bytes(made.to_json())
    (folder.parent / "config.pbtxt").write_text(f'name: "{made.model}"\nbackend: "onnxruntime"\n')
    sent = columns(64, seed)
    rows = RowSchema(made).assemble(sent, 64)
    reference, compiled = run_reference(made, rows), compile_program(made).run(rows)
    assert all(np.array_equal(one, other) for one, other in zip(reference, compiled, strict=True))
    raw = {f"raw.{name}": np.array(cells) for name, cells in sent.items()}
    outputs = {f"output.{name}": values for name, values in answered(*reference).items()}
    np.savez(folder / "golden.npz", features=reference.features, window=reference.window, **raw, **outputs)
    write_digests(folder)
    return folder


def answers(features: np.ndarray, window: np.ndarray, seed: int = 0) -> np.ndarray:
    """What the graph answers, computed in NumPy: float32[n]."""
    of_features, of_window = _weights(seed)
    score = features @ of_features + window.reshape(len(window), -1) @ of_window
    return (1 / (1 + np.exp(-score[:, 0]))).astype(np.float32)


def _weights(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed + 2000)
    size = 0.05
    return (
        random.normal(scale=size, size=(len(FEATURES), 1)).astype(np.float32),
        random.normal(scale=size, size=(MONTHS * len(WINDOW), 1)).astype(np.float32),
    )


def _graph(weights: tuple[np.ndarray, np.ndarray]) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(values, name) for name, values in zip(("wf", "wh"), weights, strict=True)]
    constants += [numpy_helper.from_array(np.array([-1, MONTHS * len(WINDOW)], np.int64), "rows")]
    constants += [numpy_helper.from_array(np.array([-1], np.int64), "flat")]
    nodes = [
        helper.make_node("MatMul", ["features", "wf"], ["a"]),
        helper.make_node("Reshape", ["history", "rows"], ["h"]),
        helper.make_node("MatMul", ["h", "wh"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Reshape", ["sum", "flat"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["probability"]),
    ]
    inputs = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(FEATURES)]),
        helper.make_tensor_value_info("history", TensorProto.FLOAT, ["n", MONTHS, len(WINDOW)]),
    ]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "wide_and_long", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
