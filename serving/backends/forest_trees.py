"""The trees of an ONNX node TreeEnsembleRegressor as flat arrays, after a check that they are trees.

Operator: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html. Nothing in a model's file is
believed: what is read here is walked by compiled code that checks no index.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import ContractError
from serving.stubs.foreign.onnx_pb2 import AttributeProto, NodeProto

OPERATOR = "TreeEnsembleRegressor"
MOST_TARGETS, DEEPEST = 1_000, 1_000
_NODES = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
_TARGETS = ("treeids", "nodeids", "ids", "weights")
_KNOWN = {
    "aggregate_function",
    "base_values",
    "n_targets",
    "post_transform",
    "nodes_hitrates",  # how often a node was met in training: counts for nothing
    "nodes_missing_value_tracks_true",
    *(f"nodes_{name}" for name in _NODES),
    *(f"target_{name}" for name in _TARGETS),
}


class Unsupported(ContractError):
    """The graph is not one that the forest backend computes exactly: the reason, in words. Another backend may."""


@dataclass(frozen=True)
class Trees:
    """T trees of N nodes in all, arrays [N] unless said otherwise."""

    tree: NDArray[np.int64]
    """The tree that a node belongs to, in the order in which leaves are summed."""
    feature: NDArray[np.int64]
    """-1 for a leaf."""
    threshold: NDArray[np.float32]
    """Never NaN."""
    inclusive: NDArray[np.bool_]
    """The test is `x <= threshold`; otherwise `x < threshold`."""
    passed: NDArray[np.int64]
    """Where a row goes that passes the test; a leaf goes to itself."""
    failed: NDArray[np.int64]
    missing_passes: NDArray[np.bool_]
    """NaN goes where passed rows go."""
    level: NDArray[np.int64]
    """Tests on the way from the root to a node."""
    order: NDArray[np.int64]
    """All nodes, level by level from the roots; the two children of a node follow each other, the passed one first."""
    weighed: NDArray[np.int64]
    """int64[W]: the leaf that a weight belongs to."""
    target: NDArray[np.int64]
    """int64[W]: the score that it is added to. No pair of leaf and target comes twice."""
    weight: NDArray[np.float32]
    """float32[W], finite."""
    base: NDArray[np.float32]
    """float32[C], finite: scores before any tree."""
    features: int

    @property
    def count(self) -> int:
        """T."""
        return int(self.tree.max()) + 1


def read(node: NodeProto, features: int) -> Trees:
    """The trees of `node`, which reads float32[n, features]. Raises Unsupported."""
    given = _attributes(node)
    targets = given["n_targets"].i if "n_targets" in given else 0
    _expect(0 < targets <= MOST_TARGETS, f"n_targets is {targets}, not 1 to {MOST_TARGETS}")
    base = _numbers(given, "base_values")
    _expect(len(base) in (0, targets), f"{len(base)} base_values for {targets} targets")
    _expect(bool(np.isfinite(base).all()), "a base value is not finite")

    treeids, nodeids, featureids, modes, values, passed, failed = _columns(given, "nodes", _NODES)
    leaf, inclusive = modes == b"LEAF", modes == b"BRANCH_LEQ"
    strange = modes[~leaf & ~inclusive & (modes != b"BRANCH_LT")]
    _expect(not strange.size, f"the test {_shown(strange)} is none of BRANCH_LT, BRANCH_LEQ")
    inner = np.flatnonzero(~leaf)
    wrong = featureids[inner][(featureids[inner] < 0) | (featureids[inner] >= features)]
    _expect(not wrong.size, f"a node tests feature {_shown(wrong)} of {features}")
    _expect(not np.isnan(values[inner]).any(), "a threshold is not a number")

    places = _Places(treeids, nodeids)
    me = np.arange(len(nodeids))
    passed, failed = (places.of(treeids, np.where(leaf, nodeids, to), "child") for to in (passed, failed))
    level, order = _levels(places.tree, passed, failed, inner)
    weighed, target, weight = _weights(given, places, leaf, targets)
    return Trees(
        tree=places.tree,
        feature=np.where(leaf, -1, featureids),
        threshold=np.where(leaf, np.float32(0), values),
        inclusive=inclusive,
        passed=np.where(leaf, me, passed),
        failed=np.where(leaf, me, failed),
        missing_passes=_flags(given, len(me)) & ~leaf,
        level=level,
        order=order,
        weighed=weighed,
        target=target,
        weight=weight,
        base=base if base.size else np.zeros(targets, np.float32),
        features=features,
    )


def _attributes(node: NodeProto) -> dict[str, AttributeProto]:
    given = {attribute.name: attribute for attribute in node.attribute}
    unknown = sorted(given.keys() - _KNOWN)
    _expect(not unknown, f"attribute {unknown[0] if unknown else ''} is not known")
    _expect(len(given) == len(node.attribute), "an attribute comes twice")
    _expect(not any(attribute.ref_attr_name for attribute in given.values()), "an attribute refers to a function's")
    for name, only in (("post_transform", b"NONE"), ("aggregate_function", b"SUM")):
        said = given[name].s if name in given else only
        _expect(said == only, f"{name} is {_shown([said])}, not {only.decode()}")
    return given


def _columns(given: dict[str, AttributeProto], group: str, names: tuple[str, ...]) -> Iterator[NDArray[Any]]:
    """The attributes of one group, all of one length."""
    columns = [_numbers(given, f"{group}_{name}") for name in names]
    _expect(len(columns[0]) > 0, f"there is no {group}_{names[0]}")
    for name, column in zip(names, columns, strict=True):
        _expect(len(column) == len(columns[0]), f"{group}_{name} and {group}_{names[0]} differ in length")
    return iter(columns)


def _numbers(given: dict[str, AttributeProto], name: str) -> NDArray[Any]:
    """A list attribute; empty where it is not given."""
    attribute = given.get(name, AttributeProto())
    if name.endswith("modes"):
        return np.array(list(attribute.strings), object)
    if name.endswith(("values", "weights")):
        return np.array(attribute.floats, np.float32)
    return np.array(attribute.ints, np.int64)


def _flags(given: dict[str, AttributeProto], nodes: int) -> NDArray[np.bool_]:
    flags = _numbers(given, "nodes_missing_value_tracks_true")
    if not flags.size:
        return np.zeros(nodes, np.bool_)
    _expect(len(flags) == nodes, "nodes_missing_value_tracks_true and nodes_nodeids differ in length")
    _expect(bool(np.isin(flags, (0, 1)).all()), "nodes_missing_value_tracks_true is neither 0 nor 1")
    return flags == 1


class _Places:
    """Where the node stands that a tree's id and a node's id name."""

    def __init__(self, treeids: NDArray[np.int64], nodeids: NDArray[np.int64]) -> None:
        self._treeids, self.tree = np.unique(treeids, return_inverse=True)
        self._nodeids, node = np.unique(nodeids, return_inverse=True)
        pairs = self.tree * len(self._nodeids) + node
        self._sorted = np.argsort(pairs)
        self._pairs = pairs[self._sorted]
        _expect(bool((np.diff(self._pairs) > 0).all()), "two nodes of a tree have one id")

    def of(self, treeids: NDArray[np.int64], nodeids: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """The place of each. Raises Unsupported where there is no such node."""
        tree, node = _rank(self._treeids, treeids), _rank(self._nodeids, nodeids)
        pair = _rank(self._pairs, np.where((tree < 0) | (node < 0), -1, tree * len(self._nodeids) + node))
        _expect(bool((pair >= 0).all()), f"a {what} names a node that is not there")
        return self._sorted[pair]


def _rank(known: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each stands in the sorted `known`; -1 where it does not."""
    rank = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[rank] == wanted, rank, -1)


def _levels(
    tree: NDArray[np.int64], passed: NDArray[np.int64], failed: NDArray[np.int64], inner: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each node's level, and all nodes level by level. Raises Unsupported for what is no tree."""
    parents = np.bincount(np.concatenate([passed[inner], failed[inner]]), minlength=len(tree))
    _expect(int(parents.max()) <= 1, "a node is the child of two")
    branches = np.zeros(len(tree), np.bool_)
    branches[inner] = True
    met = roots = np.flatnonzero(parents == 0)
    _expect(np.array_equal(np.sort(tree[roots]), np.arange(tree.max() + 1)), "a tree has not one root")
    level = np.full(len(tree), -1)
    levels: list[NDArray[np.int64]] = []
    while met.size:
        level[met] = len(levels)
        levels.append(met)
        _expect(len(levels) <= DEEPEST + 1, f"a tree is deeper than {DEEPEST}")
        asks = met[branches[met]]
        met = np.stack([passed[asks], failed[asks]], axis=1).ravel()
    _expect(bool((level >= 0).all()), "nodes of a tree go in a circle")
    return level, np.concatenate(levels)


def _weights(
    given: dict[str, AttributeProto], places: _Places, leaf: NDArray[np.bool_], targets: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    treeids, nodeids, target, weight = _columns(given, "target", _TARGETS)
    weighed = places.of(treeids, nodeids, "weight")
    _expect(bool(leaf[weighed].all()), "a weight belongs to a node that is no leaf")
    _expect(bool(((target >= 0) & (target < targets)).all()), f"a weight is for none of {targets} targets")
    _expect(len(np.unique(weighed * targets + target)) == len(target), "a leaf has two weights for one target")
    _expect(bool(np.isfinite(weight).all()), "a weight is not finite")
    return weighed, target, weight


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Unsupported(f"{OPERATOR}: {otherwise}")


def _shown(found: Any) -> str:
    """The first of what was found, for a message."""
    first = next(iter(found), "")
    return first[:40].decode(errors="replace") if isinstance(first, bytes) else str(first)
