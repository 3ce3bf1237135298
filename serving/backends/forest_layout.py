"""A forest and its calibration as the one array that the kernels read."""

import numpy as np
from numpy.typing import NDArray

from serving.backends import forest_kernels as at
from serving.backends.forest_graph import ForestGraph, Trees, Unsupported

_LOW, _HIGH, _NEVER = -(2**31), 2**31 - 2, 2**31 - 1
"""Below the keys of all numbers; above them; above all that a column can hold."""
_NOTHING = -(2**31)
"""The bits of -0.0."""
_GROUP, _TREE, _NODE = int(at.GROUP), int(at.TREE), int(at.NODE)
_MOST_WORDS = 2**26


Words = NDArray[np.int64]
"""Of the array, before it is made int32."""


def lay_out(graph: ForestGraph) -> NDArray[np.int32]:
    """int32[words], as `forest_kernels` says. Raises Unsupported when it would be too long."""
    trees = graph.trees
    columns, column = _columns(trees)
    tests = np.stack([column, np.where(trees.feature < 0, _NEVER, _keys(trees.threshold) + trees.inclusive)], axis=1)
    score, payload, weights = _leaves(trees)
    levels = int(trees.level.max())
    levels = max(levels, at.BOTTOM) if levels <= at.MOST_LEVELS else 0
    sizes = {
        at.BASE: len(trees.base),
        at.COLUMNS: columns.size,
        at.TREES: -(-trees.count // _GROUP) * _GROUP * _TREE,
        at.NODES: (len(trees.tree) + 1) * _NODE,
        at.WEIGHTS: weights.size,
        at.COMPLETE: trees.count * (3 << levels) if levels else 0,
        at.STEPS: len(graph.steps) * (1 + len(trees.base)),
    }
    header = np.zeros(at.HEADER, np.int64)
    header[list(sizes)] = at.HEADER + np.cumsum([0, *sizes.values()])[:-1]
    _expect_room(at.HEADER + sum(sizes.values()))
    header[at.SCORES], header[at.STEP_COUNT], header[at.LEVELS] = len(trees.base), len(graph.steps), levels
    header[at.TREE_COUNT], header[at.COLUMN_COUNT], header[at.SINGLE] = trees.count, len(columns), not weights.size
    if weights.size:
        payload += header[at.WEIGHTS]
    nodes, roots = _walked(trees, tests, payload, int(header[at.NODES]))
    sections = [
        _bits(trees.base),
        columns,
        _per_tree(trees, roots, score, int(nodes[-1, 2])),
        nodes,
        weights,
        _complete(trees, tests, payload, levels) if levels else np.empty(0, np.int64),
        *(np.array([step.code, *_bits(step.constant)]) for step in graph.steps),
    ]
    return np.concatenate([header, *(section.ravel() for section in sections)]).astype(np.int32)


def _expect_room(words: int) -> None:
    if words > _MOST_WORDS:
        raise Unsupported(f"the forest is too large: {words} words")


def _bits(reals: NDArray[np.float32]) -> Words:
    return reals.view(np.int32).astype(np.int64)


def _keys(thresholds: NDArray[np.float32]) -> Words:
    """Integers that order as these numbers do, both zeros alike (`forest_kernels.ordered`)."""
    bits = _bits(thresholds + np.float32(0))
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _columns(trees: Trees) -> tuple[Words, Words]:
    """The columns, [J, 2], and which one each node tests. There is always one: leaves test it as well."""
    inner = trees.feature >= 0
    pairs = np.where(inner, 2 * trees.feature + trees.missing_passes, -1)
    found = np.unique(pairs[inner]) if inner.any() else np.zeros(1, np.int64)
    columns = np.stack([found // 2, np.where(found % 2, _LOW, _HIGH)], axis=1)
    return columns, np.where(inner, np.searchsorted(found, pairs), 0)


def _leaves(trees: Trees) -> tuple[Words, Words, Words]:
    """What leaves add: the score of each tree, [T]; the payload of each node and of a leaf of no tree, [N + 1]; no
    weights. Where a tree adds to several scores: payloads are places counted from the first weight, and weights are
    those of each leaf, [leaves + 1, C].

    What a file does not say adds -0.0, which changes no score. Raises Unsupported for too many weights.
    """
    score = np.zeros(trees.count, np.int64)
    score[trees.tree[trees.weighed]] = trees.target
    if (score[trees.tree[trees.weighed]] == trees.target).all():
        payload = np.full(len(trees.tree) + 1, _NOTHING)
        payload[trees.weighed] = _bits(trees.weight)
        return score, payload, np.empty((0, 0), np.int64)
    leaf = np.append(trees.feature < 0, True)
    row = np.where(leaf, np.cumsum(leaf) - 1, 0)
    _expect_room(int(leaf.sum()) * len(trees.base))
    weights = np.full((int(leaf.sum()), len(trees.base)), _NOTHING)
    weights[row[trees.weighed], trees.target] = _bits(trees.weight)
    return score, row * len(trees.base), weights


def _walked(trees: Trees, tests: Words, payload: Words, start: int) -> tuple[Words, Words]:
    """The nodes, [N + 1, 4], tree after tree, of which the last is a leaf of no tree; and the roots, [T]."""
    order = trees.order[np.argsort(trees.tree[trees.order], kind="stable")]
    place = np.empty(len(order), np.int64)
    place[order] = start + _NODE * np.arange(len(order))
    nodes = np.column_stack([tests, place[trees.passed], payload[:-1]])[order]
    last = [[0, _NEVER, start + _NODE * len(nodes), payload[-1]]]
    return np.concatenate([nodes, last]), place[_roots(trees)]


def _per_tree(trees: Trees, roots: Words, score: Words, last: int) -> Words:
    """[T, 3], filled up to whole groups."""
    idle = -trees.count % _GROUP
    depth = np.zeros(trees.count, np.int64)
    np.maximum.at(depth, trees.tree, trees.level)
    deepest = np.pad(depth, (0, idle)).reshape(-1, _GROUP).max(axis=1)
    filled = np.concatenate([np.stack([roots, score], axis=1), np.tile([last, 0], (idle, 1))])
    return np.stack([filled[:, 0], np.repeat(deepest, _GROUP), filled[:, 1]], axis=1)


def _roots(trees: Trees) -> Words:
    roots = np.flatnonzero(trees.level == 0)
    return roots[np.argsort(trees.tree[roots])]


def _complete(trees: Trees, tests: Words, payload: Words, levels: int) -> Words:
    """[T, 3 * 2**levels]. Below a leaf stand leaves like it."""
    nodes = _roots(trees)[:, None]
    heap = [np.zeros_like(nodes)]
    for _ in range(levels):
        heap.append(nodes)
        nodes = np.stack([trees.passed[nodes], trees.failed[nodes]], axis=2).reshape(trees.count, -1)
    inner = tests[np.concatenate(heap, axis=1)]
    return np.concatenate([inner.reshape(trees.count, -1), payload[nodes]], axis=1)
