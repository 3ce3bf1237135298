"""Small models written as a version folder, independently of the exporters: every kind of input and output."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.contract import (
    FORMAT,
    CategoryInput,
    ClassOutput,
    Contract,
    GraphInput,
    LeftOut,
    NumberInput,
    Output,
    ProbabilityOutput,
    Program,
    Provenance,
    RankingOutput,
    ScalarOutput,
    Step,
    Text,
    VectorOutput,
)
from serving.features.program import compile_program, run_reference
from serving.features.rows import RowSchema

DEPARTMENTS = ("sales", "研发", "finance")


def text(name: str) -> Text:
    return Text(en=name, zh=name)


INPUTS = (
    NumberInput(
        name="hours", title=text("hours"), unit="h/week", low=0, high=168, seen=(10, 70), required=True, weight=1
    ),
    NumberInput(name="overtime", title=text("overtime"), unit="h", low=0, high=300, seen=(0, 80), weight=2),
    NumberInput(name="quality", title=text("quality"), unit="points", low=0, high=5, seen=(0, 5), weight=2),
    CategoryInput(name="department", title=text("department"), categories=DEPARTMENTS, weight=3),
)
STEPS = (
    Step(op="clip", into="hours.clipped", inputs=("hours",), params=(10, 70)),
    Step(op="scale", into="hours.scaled", inputs=("hours.clipped",), params=(40, 10)),
    Step(op="impute", into="overtime.filled", inputs=("overtime",), params=(8.5,)),
    Step(op="scale", into="overtime.scaled", inputs=("overtime.filled",), params=(8, 7)),
    Step(op="missing_flag", into="quality.missing", inputs=("quality",)),
    Step(op="impute", into="quality.filled", inputs=("quality",), params=(3,)),
    *(
        Step(op="one_hot", into=f"department={name}", inputs=("department",), params=(code,))
        for code, name in enumerate((*DEPARTMENTS, "?"))
    ),
)
FEATURES = (
    "hours.scaled",
    "overtime.scaled",
    "quality.filled",
    "quality.missing",
    *(f"department={name}" for name in (*DEPARTMENTS, "?")),
)
GRADE: tuple[Output, ...] = (ClassOutput(name="grade", title=text("grade"), classes=("A", "B", "C")),)
NUMBERS: tuple[Output, ...] = (
    ProbabilityOutput(name="leaves", title=text("leaves"), tensor="probability"),
    ScalarOutput(name="sales", title=text("sales"), tensor="scalar", unit="CNY"),
    VectorOutput(name="weights", title=text("weights"), tensor="vector", names=("x", "y")),
    RankingOutput(name="courses", title=text("courses"), tensor="ranking", items=("excel", "sql", "coaching")),
)


def contract(model: str, outputs: tuple[Output, ...] = GRADE) -> Contract:
    return Contract(
        format=FORMAT,
        model=model,
        entity_type="employee",
        title=text(model),
        inputs=INPUTS,
        program=Program(steps=STEPS, features=FEATURES),
        tensors=(GraphInput(name="features", shape=(len(FEATURES),)),),
        outputs=outputs,
        min_coverage=0.5,
        left_out=(LeftOut(name="gender", reason="protected"),),
        provenance=Provenance(
            data="none", data_sha256="", rows=0, code="test", algorithm="linear", seed=0, synthetic=True, versions={}
        ),
    )


def golden_columns(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Raw rows with missing cells, extremes and unknown categories; texts as a unicode array."""
    random = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {
        "hours": random.uniform(0, 168, rows),
        "overtime": np.where(random.random(rows) < 0.2, np.nan, random.uniform(0, 300, rows)),
        "quality": np.where(random.random(rows) < 0.2, np.nan, random.uniform(0, 5, rows)),
        "department": random.choice(np.array([*DEPARTMENTS, "elsewhere", ""]), rows),
    }
    return columns


def write_version(
    root: Path, model: str = "small", version: int = 1, outputs: tuple[Output, ...] = GRADE, seed: int = 0
) -> Path:
    """Write `root/model/version` with a linear graph drawn from `seed`; the folder. Other seeds give other answers."""
    made = contract(model, outputs)
    folder = root / model / str(version)
    folder.mkdir(parents=True)
    graph = linear_graph(outputs, seed)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "contract.json").write_bytes(made.to_json())
    (root / model / "config.pbtxt").write_text(f'name: "{model}"\nbackend: "onnxruntime"\n')
    columns = golden_columns(64, seed)
    listed = {name: cells.tolist() if cells.dtype.kind == "U" else cells for name, cells in columns.items()}
    rows = RowSchema(made).assemble(listed, 64)
    features = run_reference(made, rows).features
    assert np.array_equal(features, compile_program(made).run(rows).features)
    expected = {f"output.{name}": value for name, value in linear_outputs(features, outputs, seed).items()}
    raw = {f"raw.{name}": cells for name, cells in columns.items()}
    np.savez(folder / "golden.npz", features=features, **raw, **expected)
    write_digests(folder)
    return folder


def write_digests(folder: Path) -> None:
    names = [*sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS"), "../config.pbtxt"]
    sums = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(sums))


def linear_weights(outputs: tuple[Output, ...], seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed + 1000)
    widths = {"probabilities": 3, "probability": 1, "scalar": 1, "vector": 2, "ranking": 3}
    names = [getattr(output, "probabilities", getattr(output, "tensor", "")) for output in outputs]
    return {name: random.normal(size=(len(FEATURES), widths[name])).astype(np.float32) for name in names}


def linear_outputs(features: np.ndarray, outputs: tuple[Output, ...], seed: int) -> dict[str, np.ndarray]:
    """What the graph answers, computed in NumPy."""
    answers: dict[str, np.ndarray] = {}
    for name, weights in linear_weights(outputs, seed).items():
        product = features @ weights
        if name == "probabilities":
            grown = np.exp(product - product.max(axis=1, keepdims=True))
            answers[name] = (grown / grown.sum(axis=1, keepdims=True)).astype(np.float32)
            answers["label"] = answers[name].argmax(axis=1).astype(np.int32)
        elif name == "probability":
            answers[name] = (1 / (1 + np.exp(-product[:, 0]))).astype(np.float32)
        else:
            answers[name] = product[:, 0] if name == "scalar" else product
    return answers


def linear_graph(outputs: tuple[Output, ...], seed: int) -> onnx.ModelProto:
    nodes, constants, results = [], [numpy_helper.from_array(np.array([-1], np.int64), "flat")], []
    for name, weights in linear_weights(outputs, seed).items():
        constants.append(numpy_helper.from_array(weights, f"{name}.w"))
        product = f"{name}.p"
        nodes.append(helper.make_node("MatMul", ["features", f"{name}.w"], [product]))
        width = weights.shape[1]
        if name == "probabilities":
            nodes.append(helper.make_node("Softmax", [product], [name], axis=1))
            nodes.append(helper.make_node("ArgMax", [name], ["best"], axis=1, keepdims=0))
            nodes.append(helper.make_node("Cast", ["best"], ["label"], to=TensorProto.INT32))
            results.append(helper.make_tensor_value_info("label", TensorProto.INT32, ["n"]))
        elif width == 1:
            nodes.append(helper.make_node("Reshape", [product, "flat"], [f"{name}.f"]))
            nodes.append(helper.make_node("Sigmoid" if name == "probability" else "Identity", [f"{name}.f"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [product], [name]))
        results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"] if width == 1 else ["n", width]))
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(FEATURES)])
    graph = helper.make_graph(nodes, "linear", [features], results, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
