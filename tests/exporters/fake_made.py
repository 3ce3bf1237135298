"""Made-up results of training, arrays only: one model of classes, one of two horizons with a threshold."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from exporters.data.dataset import Dataset
from exporters.data.schema import Column
from exporters.data.table import Table
from exporters.formats.parity import Agreement
from exporters.models.made import Made, Tensors
from serving.contract import (
    CategoryInput,
    ClassOutput,
    Contract,
    GraphInput,
    HistoryInput,
    LeftOut,
    NumberInput,
    Output,
    ProbabilityOutput,
    Program,
    Provenance,
    RawInput,
    Step,
    Text,
)

PEOPLE, ROWS = 1500, 4500
THRESHOLD = 0.35  # as float32 it is less than 0.35: only float32 may be compared with it
AGREEMENTS = [Agreement("onnxruntime", 10_000, 3.2e-7, 0), Agreement("gateway", 10_000, 0.0, 1)]
PROVENANCE = Provenance(
    "made up", "ab" * 32, 12_345, "0.1.0", "made-up algorithm", 7, True, {"python": "3.11.7"}, "cd" * 32
)
LEFT_OUT = {"gender": "protected attribute", "age": "protected attribute"}
HOURS = NumberInput("hours", Text("weekly hours", "每周工时"), "h/week", 0, 168, required=True, weight=3.0)


class NoTrained:
    """Nothing was trained, and no card asks it anything."""

    def answers(self, inputs: Tensors) -> dict[str, Any]:
        raise AssertionError("a card is made of what was said of held-out rows")

    def exportable(self) -> Any:
        raise AssertionError("a card is made of what was said of held-out rows")


def of_classes(names: tuple[str, ...] = ("A", "B", "C")) -> tuple[Made, Dataset]:
    """Probabilities that are true, a rival that is too sure, and one that always says the same."""
    rng = np.random.default_rng(11)
    true = rng.dirichlet(np.array([1.0, 3.0, 1.5, 1.0])[: len(names)], ROWS)
    target = (rng.random((ROWS, 1)) > true.cumsum(axis=1)[:, :-1]).sum(axis=1)
    too_sure = true**3 / (true**3).sum(axis=1, keepdims=True)
    candidates = {
        "xgboost": true,
        "random forest": too_sure,
        "always the commonest class": np.eye(len(names))[[1] * ROWS],
    }
    team = CategoryInput("team", Text("team", "团队"), ("x", "y"))
    contract = _contract(
        "grade_model",
        Text("performance grade", "绩效等级"),
        (HOURS, team),
        Program(steps=(Step("one_hot", "team=x", ("team",), (0.0,)),), features=("hours", "team=x")),
        (GraphInput("features", (2,)),),
        (ClassOutput("grade", Text("performance grade", "绩效等级"), names),),
    )
    table = _table(rng, target, names, true)
    said = {name: {"probabilities": p.astype(np.float32)} for name, p in candidates.items()}
    return _made(contract, table, said, "xgboost"), _dataset(table)


def of_horizons() -> tuple[Made, Dataset]:
    """A network that sees half of the truth, a forest that sees more of it, and a blend of nearly all of it."""
    rng = np.random.default_rng(12)
    logits = rng.normal(-2.5, 1.3, (ROWS, 2))
    first, second = 1 / (1 + np.exp(-logits[:, 0])), 1 / (1 + np.exp(-logits[:, 1]))
    true = np.stack([first, (1 - first) * second, (1 - first) * (1 - second)], axis=1)
    target = (rng.random((ROWS, 1)) > true.cumsum(axis=1)[:, :-1]).sum(axis=1)

    def seen_through(noise: float) -> dict[str, np.ndarray]:
        h = 1 / (1 + np.exp(-(logits + noise * rng.normal(size=logits.shape))))
        return {
            "probability_3m": h[:, 0].astype(np.float32),
            "probability_6m": (h[:, 0] + (1 - h[:, 0]) * h[:, 1]).astype(np.float32),
        }

    contract = _contract(
        "leaving_model",
        Text("leaving the company", "离职风险"),
        (HOURS, HistoryInput("monthly_overtime", Text("overtime", "加班"), "h/month", weight=5.0)),
        Program(steps=(), features=("hours",), window=("monthly_overtime", "mask")),
        (GraphInput("features", (1,)), GraphInput("history", (12, 2))),
        (
            ProbabilityOutput("probability_3m", Text("leaves within 3 months", "3 个月内离职"), "probability_3m"),
            ProbabilityOutput(
                "probability_6m",
                Text("leaves within 6 months", "6 个月内离职"),
                "probability_6m",
                threshold=THRESHOLD,
                label="label",
            ),
        ),
        months=12,
    )
    table = _table(rng, target, ("within 3 months", "within 6 months", "stays"), true)
    candidates = {"network": seen_through(1.0), "xgboost": seen_through(0.6), "blend": seen_through(0.1)}
    return _made(contract, table, candidates, "blend"), _dataset(table)


def _contract(
    model: str,
    title: Text,
    inputs: tuple[RawInput, ...],
    program: Program,
    tensors: tuple[GraphInput, ...],
    outputs: tuple[Output, ...],
    months: int = 0,
) -> Contract:
    return Contract(
        format=1,
        model=model,
        entity_type="employee",
        title=title,
        inputs=inputs,
        program=program,
        tensors=tensors,
        outputs=outputs,
        min_coverage=0.5,
        left_out=tuple(LeftOut(name, reason) for name, reason in LEFT_OUT.items()),
        provenance=PROVENANCE,
        months=months,
    )


def _table(rng: np.random.Generator, target: np.ndarray, classes: tuple[str, ...], true: np.ndarray) -> Table:
    attributes = {
        "gender": np.where(rng.random(ROWS) < 0.5, "female", "male"),
        "age": rng.integers(20, 62, ROWS).astype(float),
        "month": np.full(ROWS, "2024-06"),
    }
    groups = np.arange(ROWS) % PEOPLE
    return Table({"hours": np.full(ROWS, 40.0)}, target.astype(np.int64), classes, groups, attributes, true)


def _made(contract: Contract, table: Table, said: Mapping[str, Mapping[str, np.ndarray]], published: str) -> Made:
    return Made(
        contract,
        NoTrained(),
        table,
        said,
        published,
        ((500, 0.61), (1000, 0.655), (4000, 0.67)),
        "macro-F1",
        ("Chosen by validation inside the training part.",),
    )


def _dataset(table: Table) -> Dataset:
    return Dataset(
        title=Text("made up", "虚构"),
        table=table,
        inputs=(Column("hours", "number", HOURS.title),),
        left_out=LEFT_OUT,
        description="made-up people",
        sha256="ab" * 32,
        synthetic=True,
        groups={"gender": (), "age": (30.0, 40.0, 50.0)},
    )
