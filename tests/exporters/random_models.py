"""Models of random weights in both published forms, what they answer in plain NumPy, and a contract for them.

Nothing is trained: an export has to answer as its model does, whatever the weights are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from exporters.data.table import Table
from exporters.models.blend import Blend
from exporters.models.calibrated import LEAST, CalibratedForest
from exporters.models.forest import Forest
from exporters.models.made import Made
from exporters.models.network import WideDeep
from serving.contract import (
    FORMAT,
    CategoryInput,
    ClassOutput,
    Contract,
    GraphInput,
    HistoryInput,
    NumberInput,
    Output,
    ProbabilityOutput,
    Program,
    Provenance,
    Step,
    Text,
)

MONTHS = 12
THRESHOLD = np.float32(0.3)
DEPARTMENTS = ("sales", "研发")
HISTORIES = ("monthly_overtime", "monthly_kudos")


def text(name: str) -> Text:
    return Text(name, name)


INPUTS = (
    NumberInput("tenure", text("tenure"), "years", low=0, high=60, seen=(0, 20), required=True),
    HistoryInput("monthly_overtime", text("overtime"), "h", low=0, high=300, seen=(0, 80)),
    NumberInput("pay_ratio", text("pay ratio"), "ratio", seen=(0.5, 2)),
    CategoryInput("department", text("department"), DEPARTMENTS),
    HistoryInput("monthly_kudos", text("kudos"), "count", low=0, high=99, seen=(0, 9)),
)
FEATURES = ("tenure:scaled", "pay_ratio:filled", *(f"department={name}" for name in (*DEPARTMENTS, "?")))
WINDOW = ("monthly_overtime:filled", "monthly_kudos:filled", "mask")
STEPS = (
    Step("scale", "tenure:scaled", ("tenure",), (10.0, 5.0)),
    Step("impute", "pay_ratio:filled", ("pay_ratio",), (1.0,)),
    *(Step("one_hot", name, ("department",), (float(code),)) for code, name in enumerate(FEATURES[2:])),
    Step("scale", "monthly_overtime:scaled", ("monthly_overtime",), (20.0, 20.0)),
    Step("impute", "monthly_overtime:filled", ("monthly_overtime:scaled",), (0.0,)),
    Step("impute", "monthly_kudos:filled", ("monthly_kudos",), (0.0,)),
)
HORIZONS: tuple[Output, ...] = (
    ProbabilityOutput("probability_3m", text("3 months"), "probability_3m"),
    ProbabilityOutput("probability_6m", text("6 months"), "probability_6m", threshold=float(THRESHOLD), label="label"),
)
GRADES: tuple[Output, ...] = (ClassOutput("grade", text("grade"), ("A", "B", "C")),)


def attrition_contract() -> Contract:
    """Static facts and two histories, left-padded with a mask; two horizons and a threshold."""
    return Contract(
        format=FORMAT,
        model="attrition_model",
        entity_type="employee",
        title=text("attrition"),
        inputs=INPUTS,
        program=Program(steps=STEPS, features=FEATURES, window=WINDOW),
        tensors=(GraphInput("features", (len(FEATURES),)), GraphInput("history", (MONTHS, len(WINDOW)))),
        outputs=HORIZONS,
        min_coverage=0.5,
        left_out=(),
        provenance=Provenance("none", "", 0, "test", "blend", 0, True, {}),
        months=MONTHS,
    )


def grade_contract() -> Contract:
    """The static facts alone, and three classes."""
    return msgspec.structs.replace(
        attrition_contract(),
        model="performance_model",
        inputs=tuple(raw for raw in INPUTS if not isinstance(raw, HistoryInput)),
        program=Program(steps=STEPS[: len(FEATURES)], features=FEATURES),
        tensors=(GraphInput("features", (len(FEATURES),)),),
        outputs=GRADES,
        months=0,
    )


def contract_of(names: tuple[str, ...], classes: int = 3) -> Contract:
    """Numbers that are features as they are, for models of classes that were trained on a matrix."""
    return msgspec.structs.replace(
        grade_contract(),
        inputs=tuple(NumberInput(name, text(name), "") for name in names),
        program=Program(steps=(), features=names),
        tensors=(GraphInput("features", (len(names),)),),
        outputs=(ClassOutput("grade", text("grade"), tuple("ABCDEFGH"[:classes])),),
    )


def table(rows: int, seed: int) -> Table:
    """Raw rows: some cells are missing, some histories are shorter (missing at the front) or have holes."""
    random = np.random.default_rng(seed)
    short = np.arange(MONTHS) < random.integers(0, MONTHS, (rows, 1))

    def monthly(most: float) -> np.ndarray:
        values = random.uniform(0, most, (rows, MONTHS))
        return np.where(short | (random.random(values.shape) < 0.1), np.nan, values)

    columns = {
        "tenure": random.uniform(0, 20, rows),
        "monthly_overtime": monthly(80),
        "pay_ratio": np.where(random.random(rows) < 0.1, np.nan, random.uniform(0.5, 2, rows)),
        "department": random.choice(np.array([*DEPARTMENTS, "elsewhere", ""]), rows),
        "monthly_kudos": monthly(9).round(),
    }
    groups = np.array([str(row) for row in range(rows)])
    return Table(columns, random.integers(0, 3, rows), ("soon", "later", "stays"), groups)


def forest(features: int, scores: int, seed: int, trees: int = 6, depth: int = 4, **kind: Any) -> Forest:
    """Complete trees of random splits; kind: `test` and `link`, else those of XGBoost's scores."""
    random = np.random.default_rng(seed)
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    me, leaf = np.arange(trees * nodes), np.tile(np.arange(nodes) >= inner, trees)
    within, start = me % nodes, me - me % nodes
    value = np.where(leaf[:, None], random.normal(size=(len(me), scores)), 0).astype(np.float32)
    return Forest(
        tree=me // nodes,
        feature=np.where(leaf, -1, random.integers(0, features, len(me))),
        threshold=np.where(leaf, 0, random.normal(size=len(me))).astype(np.float32),
        left=np.where(leaf, me, start + 2 * within + 1),
        right=np.where(leaf, me, start + 2 * within + 2),
        missing_left=(random.random(len(me)) < 0.5) & ~leaf,
        value=value,
        base=random.normal(scale=0.3, size=scores).astype(np.float32),
        test=kind.get("test", "<"),
        link=kind.get("link", "softmax"),
        features=features,
    )


def shares(features: int, classes: int, seed: int) -> Forest:
    """A random forest's form: leaves are shares that sum to 1 over the trees; some are 0."""
    made = forest(features, classes, seed, test="<=", link="identity")
    value = np.where(np.abs(made.value) < 0.1, 0, np.abs(made.value))
    sums = value.sum(axis=1, keepdims=True)
    value = np.divide(value, 6 * sums, out=np.zeros_like(value), where=sums > 0)
    return replace(made, value=value, base=np.zeros(classes, np.float32))


def network(features: int, columns: int, seed: int, units: int = 5, deep: int = 4) -> WideDeep:
    """Two logits."""
    random = np.random.default_rng(seed)
    shapes = {
        "wide": (features, 2),
        "wide_bias": (2,),
        "kernel": (columns, 4 * units),
        "recurrent": (units, 4 * units),
        "gates": (4 * units,),
        "hidden": (units, deep),
        "hidden_bias": (deep,),
        "head": (deep, 2),
    }
    return WideDeep(**{name: random.normal(scale=0.6, size=s).astype(np.float32) for name, s in shapes.items()})


def blend(seed: int = 0, network_weight: float = 0.7, forest_weight: float = 0.4) -> Blend:
    """Both parts, weighed alike in both periods."""
    features, columns = len(FEATURES), len(WINDOW)
    return Blend(
        network=network(features, columns, seed),
        forest=forest(features + MONTHS * columns, 2, seed, link="identity"),
        network_weight=np.full(2, network_weight, np.float32),
        forest_weight=np.full(2, forest_weight, np.float32),
        shift=np.array([-2.0, -1.7], np.float32),
        threshold=THRESHOLD,
        months=MONTHS,
    )


def grader(seed: int = 0, link: str = "softmax") -> CalibratedForest:
    """Three classes over the static facts."""
    made = shares(len(FEATURES), 3, seed) if link == "identity" else forest(len(FEATURES), 3, seed)
    return CalibratedForest(made, 3.0 if link == "identity" else 0.8, np.array([0.2, -0.1, 0.05], np.float32))


@dataclass(frozen=True)
class Known:
    """A trained model whose answers are computed here, in float64 and without any library of models."""

    model: CalibratedForest | Blend

    def answers(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The graph's outputs."""
        if isinstance(self.model, CalibratedForest):
            return classes(self.model, inputs["features"])
        return horizons(self.model, inputs["features"], inputs["history"])

    def exportable(self) -> CalibratedForest | Blend:
        return self.model


def made(model: CalibratedForest | Blend, rows: int = 500) -> Made:
    """A trained model with its contract and held-out rows."""
    contract = grade_contract() if isinstance(model, CalibratedForest) else attrition_contract()
    return Made(contract, Known(model), table(rows, 1), {}, "blend")


def classes(model: CalibratedForest, X: np.ndarray) -> dict[str, np.ndarray]:
    """`probabilities` float32[n, C] and `label` int32[n]."""
    scores = walked(model.forest, X)
    return calibrated(scores if model.forest.link == "softmax" else np.log(np.maximum(scores, LEAST)), model)


def calibrated(scores: np.ndarray, model: CalibratedForest) -> dict[str, np.ndarray]:
    """scores: float64[n, C], as `CalibratedForest` defines s."""
    z = scores * model.slope + model.shift
    grown = np.exp(z - z.max(axis=1, keepdims=True))
    probabilities = (grown / grown.sum(axis=1, keepdims=True)).astype(np.float32)
    return {"probabilities": probabilities, "label": probabilities.argmax(axis=1).astype(np.int32)}


def horizons(model: Blend, X: np.ndarray, history: np.ndarray) -> dict[str, np.ndarray]:
    """Both probabilities, float32[n], and `label` int32[n]."""
    flat = np.concatenate([X, history.reshape(len(X), -1)], axis=1)
    z = model.network_weight * logits(model.network, X, history) + model.forest_weight * walked(model.forest, flat)
    hazards = sigmoid(z + model.shift)
    later = (hazards[:, 0] + (1 - hazards[:, 0]) * hazards[:, 1]).astype(np.float32)
    label = (later >= model.threshold).astype(np.int32)
    return {"probability_3m": hazards[:, 0].astype(np.float32), "probability_6m": later, "label": label}


def logits(network: WideDeep, X: np.ndarray, history: np.ndarray) -> np.ndarray:
    """float64[n, 2]; the LSTM in Keras's order of gates."""
    X, history = X.astype(np.float64), history.astype(np.float64)
    state = cell = np.zeros((len(X), network.recurrent.shape[0]))
    for month in range(history.shape[1]):
        gates = history[:, month] @ network.kernel + state @ network.recurrent + network.gates
        enter, forget, new, leave = np.split(gates, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(cell)
    hidden = np.maximum(state @ network.hidden + network.hidden_bias, 0)
    return X @ network.wide + network.wide_bias + hidden @ network.head


def walked(forest: Forest, X: np.ndarray) -> np.ndarray:
    """Summed leaves and base, float64[n, C]: each tree is walked on its own."""
    scores = np.tile(forest.base.astype(np.float64), (len(X), 1))
    rows = np.arange(len(X))
    for root in forest.roots.tolist():
        at = np.full(len(X), root)
        for _ in range(forest.depth):
            x, limit = X[rows, np.maximum(forest.feature[at], 0)], forest.threshold[at]
            passes = x < limit if forest.test == "<" else x <= limit
            passes = np.where(np.isnan(x), forest.missing_left[at], passes)
            at = np.where(passes, forest.left[at], forest.right[at])
        scores += forest.value[at]
    return scores


def sigmoid(z: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(z / 2)) / 2
