"""A forest and its calibration, computed. What is read is one array `model`, int32[words], made by `forest_layout`.

Its first words, the header, are counts and where each section starts:

- base: float32[C], scores before any tree.
- columns: [J, 2], a feature, and what NaN counts as in this column: below all numbers or above them. A test reads a
  column and not a feature, so that it needs to know nothing of missing values.
- trees: [T, 3], root, tests to the deepest leaf of its group, and the score that its leaves add to. Filled up to whole
  groups with trees that add -0.0, which changes nothing.
- nodes: [N, 4], column, key, next and payload. A row goes to the node `next` when its column is below the key, and
  otherwise to the one behind it. A leaf's key is above all columns, its next is itself, its payload is what it adds,
  a float32; or the place of C weights, where not all trees add to a single score.
- weights: float32[.., C], what leaves add to all scores.
- complete: the same trees with all leaves at one level, for each: 2**levels nodes (column, key) numbered as in a heap,
  the root 1, the children of i 2i and 2i + 1; then the payloads of 2**levels leaves.
- steps: [S, 1 + C], a code and a float32 constant for each score.

Places (roots, next, weights) count from the start of `model`. A column's values are integers that order as
its numbers do: keys are compared as integers. Sums are float32, base first, then tree by tree, whatever the number of
rows: the same row always gets the same bits. Places are unsigned: Numba lets a signed index count from the end.
"""

import math

import numpy as np

from serving.jit import inlined, kernel

SCORES, TREE_COUNT, COLUMN_COUNT, STEP_COUNT, LEVELS, SINGLE = 0, 1, 2, 3, 4, 5
"""Of the header: C, trees without those that fill a group, J, S, levels of complete trees (0: there are none), and
whether every tree adds to a single score."""
BASE, COLUMNS, TREES, NODES, WEIGHTS, COMPLETE, STEPS, HEADER = 6, 7, 8, 9, 10, 11, 12, 13
DEPTH, SCORE, TREE = np.uint64(1), np.uint64(2), np.uint64(3)
"""Of a tree, behind its root; and the words of a tree."""
KEY, NEXT, PAYLOAD, NODE = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
"""Of a node, behind its column; and the words of a node."""
MAX, LOG, MUL, ADD, SOFTMAX, SIGMOID = 0, 1, 2, 3, 4, 5
GROUP = np.uint64(8)
"""Trees walked at the same time: their loads and compares do not wait for each other."""
NEAR = 64
"""Rows walked through one group of trees before the next group."""
STRETCH = 8
"""Tests between two looks whether all trees of a group have ended."""
BLOCK = 128
"""Rows that complete trees are computed for at a time; what a block reads and writes fits into the L1 cache."""
LANES = 16
"""Blocks are filled up to a multiple of this many rows."""
BOTTOM = 3
"""Levels of complete trees that are computed at once."""
MOST_LEVELS = 6
"""Deeper trees are not completed: every level doubles the work."""


@kernel
def answer(X, model, scores, label):
    """X: float32[n, F]; scores: float32[n, C], written; label: int32[n], the first largest score, or [0] for none."""
    levels = model[LEVELS]
    if levels > 0 and X.shape[0] >= 8 + (1 << (levels - 2)):  # from there on it is quicker, as measured
        by_blocks(X, model, scores)
    else:
        by_rows(X, model, scores)
    finish(model, scores, label)


@kernel
def by_rows(X, model, scores):
    """Walk each row through a group of trees at a time; the next rows find the group in the processor's cache."""
    values, words, reals = X.view(np.int32), model.view(np.uint32), model.view(np.float32)
    columns, base, end = words[COLUMNS], words[BASE], words[NODES]
    rows = np.empty((min(X.shape[0], NEAR), words[COLUMN_COUNT]), np.int32)
    leaves = np.empty(GROUP, np.uint64)
    for start in range(0, X.shape[0], NEAR):
        count = min(NEAR, X.shape[0] - start)
        for i in range(count):
            for j in range(rows.shape[1]):
                c = columns + 2 * j
                rows[i, j] = ordered(values[start + i, words[c]], np.int32(words[c + 1]))
            for c in range(scores.shape[1]):
                scores[start + i, c] = reals[base + c]
        t = np.uint64(words[TREES])
        while t < end:
            for i in range(count):
                n0, n1, n2, n3 = words[t], words[t + TREE], words[t + 2 * TREE], words[t + 3 * TREE]
                n4, n5, n6, n7 = words[t + 4 * TREE], words[t + 5 * TREE], words[t + 6 * TREE], words[t + 7 * TREE]
                depth = np.int64(words[t + DEPTH])
                while depth > 0:
                    for _ in range(min(depth, STRETCH)):
                        n0, n1 = after(words, rows, i, n0), after(words, rows, i, n1)
                        n2, n3 = after(words, rows, i, n2), after(words, rows, i, n3)
                        n4, n5 = after(words, rows, i, n4), after(words, rows, i, n5)
                        n6, n7 = after(words, rows, i, n6), after(words, rows, i, n7)
                    depth -= STRETCH
                    if depth > 0 and ended(words, n0, n1, n2, n3) and ended(words, n4, n5, n6, n7):
                        break
                leaves[0], leaves[1], leaves[2], leaves[3] = n0, n1, n2, n3
                leaves[4], leaves[5], leaves[6], leaves[7] = n4, n5, n6, n7
                for k in range(GROUP):
                    leaf = leaves[k] + PAYLOAD
                    if words[SINGLE]:
                        scores[start + i, words[t + k * TREE + SCORE]] += reals[leaf]
                    else:
                        for c in range(scores.shape[1]):
                            scores[start + i, c] += reals[words[leaf] + c]
            t += GROUP * TREE


@inlined
def ordered(bits, missing):
    """An integer that orders as the float32 of these bits does, both zeros alike; `missing` of a NaN."""
    number = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    number = np.int32(0) if bits == np.int32(-(2**31)) else number
    return missing if (bits & np.int32(0x7FFFFFFF)) > np.int32(0x7F800000) else number


@inlined
def after(words, rows, i, node):
    """The node behind `node` for row i, without a branch."""
    return words[node + NEXT] + np.uint64(rows[i, words[node]] >= np.int32(words[node + KEY])) * NODE


@inlined
def ended(words, a, b, c, d):
    """All four are leaves."""
    return words[a + NEXT] == a and words[b + NEXT] == b and words[c + NEXT] == c and words[d + NEXT] == d


@kernel
def by_blocks(X, model, scores):
    """Compute every node of each complete tree for a block of rows, which the processor does for many rows at once."""
    values, words, reals = X.view(np.int32), model.view(np.uint32), model.view(np.float32)
    columns, base, trees = words[COLUMNS], words[BASE], np.uint64(words[TREES])
    bottoms = 1 << (words[LEVELS] - BOTTOM)
    leaves = bottoms << BOTTOM
    rows = np.empty((words[COLUMN_COUNT], BLOCK), np.int32)
    found = np.empty((2 * bottoms, BLOCK), np.uint32)
    payloads = found.view(np.float32)
    sums = np.empty((scores.shape[1], BLOCK), np.float32)
    for start in range(0, X.shape[0], BLOCK):
        count = min(BLOCK, X.shape[0] - start)
        filled = (count + LANES - 1) // LANES * LANES
        for j in range(rows.shape[0]):
            feature, missing = words[columns + 2 * j], np.int32(words[columns + 2 * j + 1])
            for i in range(count):
                rows[j, i] = ordered(values[start + i, feature], missing)
        for c in range(scores.shape[1]):
            sums[c] = reals[base + c]
        for t in range(words[TREE_COUNT]):
            at = words[COMPLETE] + t * 3 * leaves
            tree, place = words[at : at + 3 * leaves], trees + np.uint64(t) * TREE
            for node in range(bottoms, 2 * bottoms):
                lowest(rows, tree, node, leaves, filled, found)
            for node in range(bottoms - 1, 0, -1):
                choose(rows, tree, node, filled, found)
            if words[SINGLE]:
                c = words[place + SCORE]
                for i in range(filled):
                    sums[c, i] += payloads[1, i]
            else:
                for i in range(count):
                    for c in range(sums.shape[0]):
                        sums[c, i] += reals[found[1, i] + c]
        for i in range(count):
            for c in range(scores.shape[1]):
                scores[start + i, c] = sums[c, i]


@inlined
def lowest(rows, tree, node, leaves, filled, found):
    """What each row finds below `node`, three levels above the leaves.

    rows: int32[J, BLOCK]; tree: uint32[3 * leaves]; found: uint32[.., BLOCK], of each node what its rows find.
    """
    a, b, d, y = 2 * node, 4 * node, 8 * node, leaves + 8 * node
    c1, c2, c3, c4 = tree[a], tree[b], tree[b + 2], tree[d]
    c5, c6, c7 = tree[d + 2], tree[d + 4], tree[d + 6]
    k1, k2, k3, k4 = np.int32(tree[a + 1]), np.int32(tree[b + 1]), np.int32(tree[b + 3]), np.int32(tree[d + 1])
    k5, k6, k7 = np.int32(tree[d + 3]), np.int32(tree[d + 5]), np.int32(tree[d + 7])
    v0, v1, v2, v3 = tree[y], tree[y + 1], tree[y + 2], tree[y + 3]
    v4, v5, v6, v7 = tree[y + 4], tree[y + 5], tree[y + 6], tree[y + 7]
    for i in range(filled):
        p = v1 if rows[c4, i] >= k4 else v0
        q = v3 if rows[c5, i] >= k5 else v2
        r = v5 if rows[c6, i] >= k6 else v4
        s = v7 if rows[c7, i] >= k7 else v6
        u = q if rows[c2, i] >= k2 else p
        v = s if rows[c3, i] >= k3 else r
        found[node, i] = v if rows[c1, i] >= k1 else u


@inlined
def choose(rows, tree, node, filled, found):
    """What each row finds below `node`, from what it finds below its two children."""
    column, key = tree[2 * node], np.int32(tree[2 * node + 1])
    for i in range(filled):
        passed, failed = found[2 * node, i], found[2 * node + 1, i]
        found[node, i] = failed if rows[column, i] >= key else passed


@kernel
def finish(model, scores, label):
    """The steps after the forest, on scores float32[n, C]; and the label."""
    n, targets = scores.shape
    reals = model.view(np.float32)
    for s in range(model[STEP_COUNT]):
        at = model[STEPS] + s * (1 + targets)
        code = model[at]
        constants = reals[at + 1 : at + 1 + targets]
        if code == SOFTMAX:
            for i in range(n):
                softmax(scores[i])
        else:
            for i in range(n):
                for c in range(targets):
                    scores[i, c] = stepped(code, scores[i, c], constants[c])
    for i in range(label.size):
        best = 0
        for c in range(1, targets):
            if scores[i, c] > scores[i, best]:
                best = c
        label[i] = best


@inlined
def stepped(code, score, constant):
    """One score after one step."""
    if code == MAX:
        return max(score, constant)
    if code == LOG:
        return np.float32(math.log(score))
    if code == MUL:
        return score * constant
    if code == ADD:
        return score + constant
    return np.float32(1) / (np.float32(1) + np.float32(math.exp(-score)))


@inlined
def softmax(scores):
    """float32[C], in place."""
    most = scores[0]
    for c in range(1, scores.size):
        most = max(most, scores[c])
    total = np.float32(0)
    for c in range(scores.size):
        scores[c] = math.exp(scores[c] - most)
        total += scores[c]
    for c in range(scores.size):
        scores[c] /= total
