"""A trained forest as flat arrays: the one form from which both ONNX and SavedModel are written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Forest:
    """T trees of N nodes in all, arrays [N] unless said otherwise. A tree's nodes follow each other, root first."""

    tree: NDArray[np.int64]
    """The tree that a node belongs to."""
    feature: NDArray[np.int64]
    """-1 for a leaf."""
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    """Where a row goes that passes the test, counted over all trees; a leaf goes to itself."""
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    """Where a row goes whose value is NaN."""
    value: NDArray[np.float32]
    """float32[N, C]: what a leaf adds to the score of each class; 0 for other nodes."""
    base: NDArray[np.float32]
    """float32[C]: scores before any tree."""
    test: Literal["<", "<="]
    link: Literal["softmax", "identity"]
    """How sums of leaves become probabilities."""
    features: int

    @property
    def roots(self) -> NDArray[np.int64]:
        """int64[T]: the first node of each tree."""
        return np.flatnonzero(np.diff(self.tree, prepend=-1))

    @property
    def depth(self) -> int:
        """Tests on the longest way from a root to a leaf."""
        nodes, depth = self.roots, 0
        while (inner := nodes[self.feature[nodes] >= 0]).size:
            nodes, depth = np.concatenate([self.left[inner], self.right[inner]]), depth + 1
        return depth


def from_xgboost(model: Any) -> Forest:
    """Of an `XGBClassifier` with objective multi:softprob. Raises ValueError for what cannot be flattened."""
    learner = _learner(model.get_booster(), "multi:softprob")
    classes = int(learner["learner_model_param"]["num_class"])
    info = learner["gradient_booster"]["model"]["tree_info"]
    base = np.broadcast_to(_base(learner), classes).astype(np.float32)
    return _join(_boosted(learner, info, classes), base, "<", "softmax", model.n_features_in_)


def from_boosters(boosters: Sequence[Any]) -> Forest:
    """Of one booster a column, each with objective binary:logistic: scores are log-odds.

    The base score of that objective is stored as a probability. Raises ValueError for what cannot be flattened.
    """
    parts, base = [], []
    for column, booster in enumerate(boosters):
        learner = _learner(booster, "binary:logistic")
        trees = learner["gradient_booster"]["model"]["trees"]
        parts += _boosted(learner, [column] * len(trees), len(boosters))
        chance, one = np.float32(_base(learner)[0]), np.float32(1)
        base.append(-np.log(one / chance - one))  # in float32, as XGBoost's ProbToMargin: to the bit
    return _join(parts, np.array(base, np.float32), "<", "identity", boosters[0].num_features())


def _learner(booster: Any, objective: str) -> dict[str, Any]:
    """The booster as XGBoost saves it (format: its doc/model.schema)."""
    learner: dict[str, Any] = json.loads(booster.save_raw("json").decode())["learner"]
    if learner["gradient_booster"]["name"] != "gbtree" or learner["objective"]["name"] != objective:
        raise ValueError(f"only gbtree boosters with objective {objective} can be flattened")
    if any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in learner["gradient_booster"]["model"]["trees"]):
        raise ValueError("trees with a vector in each leaf (multi_output_tree) cannot be flattened")
    best = booster.attr("best_iteration")
    if best is not None and int(best) + 1 < booster.num_boosted_rounds():
        raise ValueError("a booster that stopped early predicts with its best round: cut it there first")
    return learner


def _base(learner: dict[str, Any]) -> NDArray[np.float64]:
    return np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float64).ravel()


def _boosted(learner: dict[str, Any], column: Sequence[int], columns: int) -> list["_Part"]:
    """The trees of a booster; tree i adds to the score `column[i]`."""
    parts = []
    for tree, c in zip(learner["gradient_booster"]["model"]["trees"], column, strict=True):
        left = np.array(tree["left_children"], np.int64)
        leaf = left < 0
        condition = np.array(tree["split_conditions"], np.float32)  # in a leaf: its value
        value = np.zeros((len(left), columns), np.float32)
        value[leaf, c] = condition[leaf]
        parts.append(
            _Part(
                np.where(leaf, -1, np.array(tree["split_indices"], np.int64)),
                np.where(leaf, np.float32(0), condition),
                left,
                np.array(tree["right_children"], np.int64),
                np.array(tree["default_left"], bool),
                value,
            )
        )
    return parts


def from_random_forest(model: Any) -> Forest:
    """Of a `RandomForestClassifier`. A leaf adds its share of each class, divided by the number of trees."""
    count = len(model.estimators_)
    parts = []
    for estimator in model.estimators_:
        tree = estimator.tree_
        leaf = tree.children_left < 0
        share = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True) / count
        parts.append(
            _Part(
                np.where(leaf, -1, tree.feature),
                np.where(leaf, np.float32(0), rounded_down(tree.threshold)),
                tree.children_left,
                tree.children_right,
                tree.missing_go_to_left.astype(bool),
                np.where(leaf[:, None], share, 0.0).astype(np.float32),
            )
        )
    return _join(parts, np.zeros(model.n_classes_, np.float32), "<=", "identity", model.n_features_in_)


def rounded_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each threshold: for a float32 x, `x <= threshold` then means the same."""
    nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)


@dataclass(frozen=True)
class _Part:
    """One tree, children counted within it."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float32]


def _join(
    parts: list[_Part],
    base: NDArray[np.float32],
    test: Literal["<", "<="],
    link: Literal["softmax", "identity"],
    features: int,
) -> Forest:
    sizes = np.array([len(part.feature) for part in parts])
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)
    feature = np.concatenate([part.feature for part in parts]).astype(np.int64)
    me, leaf = np.arange(len(feature)), feature < 0
    left = np.concatenate([part.left for part in parts]) + start
    right = np.concatenate([part.right for part in parts]) + start
    return Forest(
        tree=np.repeat(np.arange(len(parts)), sizes),
        feature=feature,
        threshold=np.concatenate([part.threshold for part in parts]).astype(np.float32),
        left=np.where(leaf, me, left),
        right=np.where(leaf, me, right),
        missing_left=np.concatenate([part.missing_left for part in parts]) & ~leaf,
        value=np.concatenate([part.value for part in parts]),
        base=base,
        test=test,
        link=link,
        features=features,
    )
