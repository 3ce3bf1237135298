"""A forest as an ONNX graph: TreeEnsembleClassifier and Cast, the same bytes for the same forest.

Written from the flat arrays and not by skl2onnx or onnxmltools: one writer for both algorithms, and the direction of
missing values, which skl2onnx 1.20 gets wrong for random forests (onnx/sklearn-onnx #1253), is simply an array.
Operator: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html, version 3.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from exporters.models.forest import Forest

IR_VERSION = 8  # with the opsets below: read by every runtime since ONNX 1.13
OPSET, ML_OPSET = 18, 3
_MODES = {"<": "BRANCH_LT", "<=": "BRANCH_LEQ"}
_LINKS = {"softmax": "SOFTMAX", "identity": "NONE"}


def write(forest: Forest, name: str) -> bytes:
    """Input `features` float32[N, F]; outputs `probabilities` float32[N, C] and `label` int32[N]; N is free."""
    from onnx import TensorProto, checker, helper

    classes = len(forest.base)
    if classes == 2:
        forest = _base_as_tree(forest)
    base = {"base_values": forest.base.tolist()} if forest.base.any() else {}
    nodes = [
        helper.make_node(
            "TreeEnsembleClassifier",
            ["features"],
            ["label_int64", "probabilities"],
            name="forest",
            domain="ai.onnx.ml",
            classlabels_int64s=list(range(classes)),
            post_transform=_LINKS[forest.link],
            **base,
            **_tree_attributes(forest),
            **_leaf_attributes(forest),
        ),
    ]
    label = "label_int64"
    if classes == 2:
        # onnxruntime's label of two classes asks whether the score of the second is above 0, not above the first's.
        label = "likelier"
        nodes.append(helper.make_node("ArgMax", ["probabilities"], [label], name="likelier", axis=1, keepdims=0))
    nodes.append(helper.make_node("Cast", [label], ["label"], name="label_to_int32", to=TensorProto.INT32))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", forest.features])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info("label", TensorProto.INT32, ["N"]),
        ],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="epm-export")
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _base_as_tree(forest: Forest) -> Forest:
    """The same forest with its base as a tree of one leaf: onnxruntime reads two base values as those of one score."""
    return replace(
        forest,
        tree=np.append(forest.tree, forest.tree[-1] + 1),
        feature=np.append(forest.feature, -1),
        threshold=np.append(forest.threshold, np.float32(0)),
        left=np.append(forest.left, len(forest.left)),
        right=np.append(forest.right, len(forest.right)),
        missing_left=np.append(forest.missing_left, False),
        value=np.concatenate([forest.value, forest.base[None, :]]),
        base=np.zeros_like(forest.base),
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
    """A tree that only ever speaks of one class (as boosted ones do) lists no weights for the others."""
    speaks = np.stack([forest.value[forest.tree == tree].any(axis=0) for tree in range(len(forest.roots))])
    speaks[~speaks.any(axis=1), 0] = True  # a tree of zeros still needs a weight
    leaves = np.flatnonzero(forest.feature < 0)
    which, classes = np.nonzero(speaks[forest.tree[leaves]])
    nodes = leaves[which]
    return {
        "class_treeids": forest.tree[nodes].tolist(),
        "class_nodeids": (nodes - forest.roots[forest.tree[nodes]]).tolist(),
        "class_ids": classes.tolist(),
        "class_weights": forest.value[nodes, classes].tolist(),
    }
