"""A forest as one ONNX node, TreeEnsembleRegressor: float32[N, F] -> scores float32[N, C].

Written from the flat arrays and not by skl2onnx or onnxmltools: one writer for both algorithms, and the direction of
missing values, which skl2onnx 1.20 gets wrong for random forests (onnx/sklearn-onnx #1253), is simply an array.
Operator: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html, version 3. Not its sibling for
classes: of two classes onnxruntime reads two base values as those of one score.
"""

from typing import Any

import numpy as np

from exporters.formats.onnx_builder import ML_DOMAIN, OnnxBuilder
from exporters.models.forest import Forest

_MODES = {"<": "BRANCH_LT", "<=": "BRANCH_LEQ"}


def add(graph: OnnxBuilder, forest: Forest, reads: str, into: str) -> str:
    """Add the node. reads: name of float32[N, F]; into: name of the summed leaves and base, float32[N, C]."""
    base = {"base_values": forest.base.tolist()} if forest.base.any() else {}
    return graph.add(
        "TreeEnsembleRegressor",
        [reads],
        into,
        domain=ML_DOMAIN,
        n_targets=len(forest.base),
        post_transform="NONE",
        **base,
        **_tree_attributes(forest),
        **_leaf_attributes(forest),
    )


def _tree_attributes(forest: Forest) -> dict[str, Any]:
    """Nodes are numbered within their tree, the root 0."""
    leaf = forest.feature < 0
    start = forest.roots[forest.tree]
    return {
        "nodes_treeids": forest.tree.tolist(),
        "nodes_nodeids": (np.arange(len(leaf)) - start).tolist(),
        "nodes_featureids": np.where(leaf, 0, forest.feature).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", _MODES[forest.test]).tolist(),
        "nodes_values": forest.threshold.tolist(),
        "nodes_truenodeids": np.where(leaf, 0, forest.left - start).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, forest.right - start).tolist(),
        "nodes_missing_value_tracks_true": forest.missing_left.astype(int).tolist(),
    }


def _leaf_attributes(forest: Forest) -> dict[str, Any]:
    """A tree that only ever speaks of one score (as boosted ones do) lists no weights for the others.

    The first tree speaks of scores that no tree speaks of: onnxruntime 1.31 leaves out the base of a score without a
    weight.
    """
    speaks = np.stack([forest.value[forest.tree == tree].any(axis=0) for tree in range(len(forest.roots))])
    speaks[~speaks.any(axis=1), 0] = True  # a tree of zeros still needs a weight
    speaks[0] |= ~speaks.any(axis=0)
    leaves = np.flatnonzero(forest.feature < 0)
    which, scores = np.nonzero(speaks[forest.tree[leaves]])
    nodes = leaves[which]
    return {
        "target_treeids": forest.tree[nodes].tolist(),
        "target_nodeids": (nodes - forest.roots[forest.tree[nodes]]).tolist(),
        "target_ids": scores.tolist(),
        "target_weights": forest.value[nodes, scores].tolist(),
    }
