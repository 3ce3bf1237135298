"""Models of every kind that a contract can say, small, as versions of a repository; and rows for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper

from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.contract import (
    ClassOutput,
    Contract,
    GraphInput,
    Output,
    ProbabilityOutput,
    Program,
    RankingOutput,
    ScalarOutput,
    VectorOutput,
)
from serving.features.program import compile_program
from serving.features.rows import RowSchema
from serving.repository.served import ServedModel
from tests.support import attrition, forests, histories, models
from tests.support.forests import Kind
from tests.support.models import text, write_digests

SCALAR = (ScalarOutput("sales", text("sales"), "scores", "CNY"),)
CHANCE = (ProbabilityOutput("leaves", text("leaves"), "scores"),)
VECTOR = (VectorOutput("weights", text("weights"), "scores", ("x", "y", "研发", "w", "v")),)
RANKING = (RankingOutput("courses", text("courses"), "scores", ("excel", "sql", "coaching")),)
MANY = (ClassOutput("stars", text("stars"), tuple(f"{number} 颗星" * 9 for number in range(40))),)


Columns = Callable[[int, int], dict[str, Any]]
"""Raw rows: (how many, seed)."""


@dataclass(frozen=True)
class Made:
    """A model. how: who computes it: "compiled", "featured" or "python"."""

    name: str
    how: str
    columns: Columns
    contract: Contract


def write_forest(
    root: Path, made: Contract, columns: Any = models.golden_columns, version: int = 1, seed: int = 0, trees: int = 9
) -> Path:
    """Write `root/model/version`, a forest drawn from `seed` whose scores are what the contract promises; the folder.

    Other seeds and numbers of trees give other answers.
    """
    folder = root / made.model / str(version)
    folder.mkdir(parents=True)
    graph = forest_graph(made, seed, trees)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "contract.json").write_bytes(made.to_json())
    (folder.parent / "config.pbtxt").write_text(f'name: "{made.model}"\nbackend: "onnxruntime"\n')
    raw = {name: np.array(cells) for name, cells in columns(64, seed).items()}
    listed = {name: cells.tolist() if cells.dtype.kind == "U" else cells for name, cells in raw.items()}
    features = compile_program(made).run(RowSchema(made).assemble(listed, 64)).features
    outputs = OnnxRuntimeBackend(graph.SerializeToString(), threads=1).run({"features": features})
    arrays = {f"raw.{name}": cells for name, cells in raw.items()}
    arrays |= {f"output.{name}": outputs[name] for name in made.graph_outputs()}
    np.savez(folder / "golden.npz", features=features, **arrays)
    write_digests(folder)
    return folder


def forest_graph(made: Contract, seed: int, trees: int) -> onnx.ModelProto:
    """The graph of a forest that gives what the contract's only output promises."""
    width, (output,) = len(made.program.features), made.outputs
    targets = {ClassOutput: "classes", VectorOutput: "names", RankingOutput: "items"}.get(type(output), "")
    count = len(getattr(output, targets)) if targets else 1
    grown = forests.forest(Kind(features=width, targets=count, depth=6), trees, seed)
    base = np.linspace(-0.2, 0.2, count).tolist()
    if isinstance(output, ClassOutput):
        return forests.calibrated(grown, base, width)
    if targets:
        return forests.scores_only(grown, base, width)
    nodes = [forests.node(grown, base, into="sums")]
    of = "sums"
    if isinstance(output, ProbabilityOutput):
        nodes.append(helper.make_node("Sigmoid", ["sums"], ["chance"]))
        of = "chance"
    nodes.append(helper.make_node("Squeeze", [of, "axes"], ["scores"]))
    return forests.model(nodes, width, {"scores": (TensorProto.FLOAT, ["N"])}, {"axes": np.array([1])})


def contract(model: str, outputs: tuple[Output, ...], **changes: Any) -> Contract:
    """A contract over the rows of `models`."""
    return msgspec.structs.replace(models.contract(model, outputs), **changes)


def of_everything(model: str = "everything", outputs: tuple[Output, ...] = models.GRADE) -> Contract:
    """Numbers, categories, texts, dates and histories in the features of a forest."""
    return histories.contract(
        model,
        outputs=outputs,
        program=Program(steps=histories.STEPS, features=histories.FEATURES),
        tensors=(GraphInput("features", (len(histories.FEATURES),)),),
    )


def of_missing(model: str = "missing") -> Contract:
    """Features in which something may be missing."""
    features = ("hours.clipped", "overtime", "quality", "department=sales", "department=?")
    return contract(
        model,
        models.GRADE,
        program=Program(steps=models.STEPS, features=features),
        tensors=(GraphInput("features", (len(features),), missing_allowed=True),),
        min_coverage=0.7,
    )


def by_days(rows: int, seed: int) -> dict[str, Any]:
    """The rows of `histories`, dates as days since 1970-01-01: texts of dates are read in Python."""
    columns = histories.columns(rows, seed)
    hired = np.array(columns["hired"])
    return {**columns, "hired": np.where(hired == "", np.nan, hired.astype("datetime64[D]").astype(np.float64))}


FORESTS: dict[str, tuple[Contract, Columns, str]] = {
    "grade": (contract("grade", models.GRADE), models.golden_columns, "compiled"),
    "stars": (contract("stars", MANY), models.golden_columns, "compiled"),
    "scalar": (contract("scalar", SCALAR), models.golden_columns, "compiled"),
    "chance": (contract("chance", CHANCE), models.golden_columns, "compiled"),
    "vector": (contract("vector", VECTOR), models.golden_columns, "compiled"),
    "ranking": (contract("ranking", RANKING), models.golden_columns, "python"),
    "missing": (of_missing(), models.golden_columns, "compiled"),
    "everything": (of_everything(), by_days, "compiled"),
}
OTHERS: dict[str, tuple[Contract, Columns, str]] = {
    "linear": (models.contract("linear"), models.golden_columns, "featured"),
    "numbers": (models.contract("numbers", models.NUMBERS), models.golden_columns, "python"),
    "leaves": (histories.contract(), by_days, "featured"),
    "attrition": (attrition.contract(), by_days, "featured"),
}
NAMES = (*FORESTS, *OTHERS)


def write_all(root: Path) -> dict[str, Made]:
    """One version of every kind of model, by name."""
    for made, columns, _ in FORESTS.values():
        write_forest(root, made, columns)
    models.write_version(root, "linear")
    models.write_version(root, "numbers", 1, models.NUMBERS)
    histories.write_version(root)
    attrition.write_version(root)
    return {name: Made(name, how, columns, made) for name, (made, columns, how) in {**FORESTS, **OTHERS}.items()}


def sent(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns as questions hold them: texts as lists."""
    made = {}
    for name, cells in columns.items():
        texts = isinstance(cells, list) or cells.dtype.kind == "U"
        made[name] = [str(cell) for cell in cells] if texts else cells
    return made


def ready(made: Made, columns: dict[str, Any]) -> dict[str, np.ndarray]:
    """The graph's own tensors of these rows."""
    n = len(next(iter(columns.values())))
    features = compile_program(made.contract).run(RowSchema(made.contract).assemble(columns, n))
    tensors = {}
    for tensor in made.contract.tensors:
        tensors[tensor.name] = features.window if len(tensor.shape) == 2 else features.features
    return tensors


def again(served: ServedModel) -> ServedModel:
    """The same artifact as another version object, as if it had been loaded again."""
    return replace(served)
