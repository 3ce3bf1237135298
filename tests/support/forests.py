"""Random forests as ONNX graphs, written without the exporters: whatever TreeEnsembleRegressor can say; and walked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ODD = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3.4028235e38, 1.0, -1.0], np.float32)


@dataclass(frozen=True)
class Leaf:
    weights: dict[int, np.float32]


@dataclass(frozen=True)
class Branch:
    feature: int
    threshold: np.float32
    mode: str
    missing_passes: bool
    passed: "Leaf | Branch"
    failed: "Leaf | Branch"


Tree = Leaf | Branch


@dataclass(frozen=True)
class Kind:
    """What random trees are like."""

    features: int = 4
    targets: int = 1
    depth: int = 5
    bushy: float = 0.9
    """Chance that a node has children; 0: leaves only."""
    comb: bool = False
    """Each test leads to a leaf and one further test."""
    modes: tuple[str, ...] = ("BRANCH_LT",)
    shares: bool = False
    """Leaves speak of many targets; otherwise each tree of one."""
    positive: bool = False
    """No weight is below 0, some are tiny: a logarithm of their sums shows no more than their last bits."""


def forest(kind: Kind, trees: int, seed: int) -> list[Tree]:
    """The last tree is a leaf that speaks of every target: onnxruntime 1.31 leaves the base value out of a score that
    no leaf adds to.
    """
    random = np.random.default_rng(seed)
    grown = [_tree(kind, random, kind.depth, int(random.integers(kind.targets))) for _ in range(trees - 1)]
    return [*grown, Leaf({target: _weight(kind, random) for target in range(kind.targets)})]


def _weight(kind: Kind, random: np.random.Generator) -> np.float32:
    weight = random.normal()
    if kind.positive:
        weight = abs(weight) * random.choice([1.0, 1e-5])
    return np.float32(weight)


def _tree(kind: Kind, random: np.random.Generator, depth: int, target: int) -> Tree:
    if depth == 0 or random.random() >= kind.bushy:
        of = random.permutation(kind.targets)[: random.integers(0, kind.targets + 1)] if kind.shares else [target]
        return Leaf({int(t): _weight(kind, random) for t in of})
    threshold = np.float32(random.normal()) if random.random() < 0.7 else random.choice(ODD)
    missing, mode = bool(random.random() < 0.5), str(random.choice(kind.modes))
    children = [_tree(kind, random, depth - 1, target), _tree(kind, random, 0 if kind.comb else depth - 1, target)]
    first = int(random.integers(2))
    feature = int(random.integers(kind.features))
    return Branch(feature, threshold, mode, missing, children[first], children[1 - first])


def rows(kind: Kind, trees: Sequence[Tree], count: int, seed: int) -> np.ndarray:
    """float32[count, F]: any numbers, thresholds and their neighbours, missing ones."""
    random = np.random.default_rng(seed)
    known = np.array([*ODD, *(limit for tree in trees for limit in _thresholds(tree))], np.float32)
    picked = random.choice(known, (count, kind.features))
    aside = random.choice(np.array([-np.inf, np.inf], np.float32), picked.shape)
    with np.errstate(over="ignore"):
        beside = np.nextafter(picked, aside)
    X = np.where(random.random(picked.shape) < 0.5, picked, beside)
    X = np.where(random.random(X.shape) < 0.4, random.normal(size=X.shape), X)
    return np.where(random.random(X.shape) < 0.2, np.nan, X).astype(np.float32)


def _thresholds(tree: Tree) -> list[np.float32]:
    if isinstance(tree, Leaf):
        return []
    return [tree.threshold, *_thresholds(tree.passed), *_thresholds(tree.failed)]


def walked(trees: Sequence[Tree], base: Sequence[float], X: np.ndarray) -> np.ndarray:
    """float32[n, C]: base, then one tree after the other."""
    scores = np.tile(np.array(base, np.float32), (len(X), 1))
    for row, into in zip(X, scores, strict=True):
        for tree in trees:
            for target, weight in _leaf(tree, row).items():
                into[target] += weight
    return scores


def _leaf(tree: Tree, row: np.ndarray) -> dict[int, np.float32]:
    while isinstance(tree, Branch):
        x = row[tree.feature]
        passes = x < tree.threshold if tree.mode == "BRANCH_LT" else x <= tree.threshold
        tree = tree.passed if (tree.missing_passes if np.isnan(x) else passes) else tree.failed
    return tree.weights


def node(trees: Sequence[Tree], base: Sequence[float], seed: int = 0, into: str = "scores") -> onnx.NodeProto:
    """The forest as one node. Ids of nodes and the order of nodes and weights are arbitrary, those of trees ascend."""
    random = np.random.default_rng(seed)
    nodes: list[tuple[Any, ...]] = []
    weights: list[tuple[Any, ...]] = []
    for number, tree in enumerate(trees):
        flat: list[Tree] = [tree]
        for each in flat:
            flat += [each.passed, each.failed] if isinstance(each, Branch) else []
        names = {id(each): int(name) for each, name in zip(flat, random.permutation(len(flat)), strict=True)}
        treeid = 7 * number + 3
        for each in flat:
            me = names[id(each)]
            if isinstance(each, Branch):
                test = (each.feature, each.mode, float(each.threshold), names[id(each.passed)], names[id(each.failed)])
                nodes.append((treeid, me, *test, int(each.missing_passes)))
            else:
                nodes.append((treeid, me, 0, "LEAF", 0.0, 0, 0, 0))
                weights += [(treeid, me, target, float(weight)) for target, weight in each.weights.items()]
    random.shuffle(weights)
    treeids, nodeids, featureids, modes, values, passed, failed, missing = map(list, zip(*nodes, strict=True))
    of_trees, of_nodes, ids, summed = map(list, zip(*weights, strict=True))
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        [into],
        domain="ai.onnx.ml",
        n_targets=len(base),
        base_values=[float(value) for value in base],
        nodes_treeids=treeids,
        nodes_nodeids=nodeids,
        nodes_featureids=featureids,
        nodes_modes=modes,
        nodes_values=values,
        nodes_truenodeids=passed,
        nodes_falsenodeids=failed,
        nodes_missing_value_tracks_true=missing,
        target_treeids=of_trees,
        target_nodeids=of_nodes,
        target_ids=ids,
        target_weights=summed,
    )


def model(
    nodes: Sequence[onnx.NodeProto],
    features: int,
    outputs: dict[str, tuple[int, list[Any]]],
    constants: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    """outputs: name -> element type and shape."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", features])],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def scores_only(trees: Sequence[Tree], base: Sequence[float], features: int) -> onnx.ModelProto:
    """A graph of nothing but the forest; its output is `scores`."""
    return model([node(trees, base)], features, {"scores": (TensorProto.FLOAT, ["N", len(base)])})


def calibrated(trees: Sequence[Tree], base: Sequence[float], features: int, logs: bool = False) -> onnx.ModelProto:
    """A forest with slope, shift, `probabilities` and `label`; with `logs` of the logarithm of its scores."""
    targets = len(base)
    constants = {
        "least": np.array(1e-3, np.float32),
        "slope": np.array(0.7, np.float32),
        "shift": np.linspace(-0.5, 0.5, targets, dtype=np.float32),
    }
    chain = [node(trees, base)]
    if logs:
        chain.append(helper.make_node("Max", ["scores", "least"], ["held"]))
        chain.append(helper.make_node("Log", ["held"], ["logs"]))
    chain += [
        helper.make_node("Mul", ["slope", "logs" if logs else "scores"], ["sloped"]),
        helper.make_node("Add", ["sloped", "shift"], ["shifted"]),
        helper.make_node("Softmax", ["shifted"], ["probabilities"], axis=-1),
        helper.make_node("ArgMax", ["probabilities"], ["likeliest"], axis=1, keepdims=0),
        helper.make_node("Cast", ["likeliest"], ["label"], to=TensorProto.INT32),
    ]
    outputs = {"probabilities": (TensorProto.FLOAT, ["N", targets]), "label": (TensorProto.INT32, ["N"])}
    return model(chain, features, outputs, constants)
