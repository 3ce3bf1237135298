"""A forest as a TensorFlow SavedModel of core operations, so that plain TF Serving runs it.

Two signatures with the same outputs (`probabilities` float32[n, C], `label` int32[n]): `serving_default` takes one
float32[n] a feature, by name; `features` takes the matrix float32[n, F]. TensorFlow is imported only here: call
through `FreshProcess`.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.formats.parity import Answers
from exporters.models.forest import Forest

DEFAULT, MATRIX = "serving_default", "features"


def tensor_names(features: tuple[str, ...]) -> tuple[str, ...]:
    """Feature names as TensorFlow takes them: letters, digits and underscores, a letter first, no two alike.

    `department=Sales` becomes `department_Sales`; what loses all its letters, or would be there twice, gets its number.
    """
    names: list[str] = []
    for number, feature in enumerate(features):
        name = re.sub(r"[^A-Za-z0-9]+", "_", feature).strip("_")
        if not re.match(r"[A-Za-z]", name):
            name = f"feature_{name}".rstrip("_")
        taken = {other.lower() for other in names}
        names.append(f"{name}_{number}" if name.lower() in taken else name)
    return tuple(names)


def write(forest: Forest, features: tuple[str, ...], folder: Path) -> None:
    """Write `saved_model.pb` and `variables/` into `folder`: the same bytes for the same forest, in a fresh process."""
    tf = _tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    names = tensor_names(features)
    module = tf.Module()
    module.scores = tf.function(
        lambda features: _answer(tf, forest, features),
        input_signature=[tf.TensorSpec([None, len(names)], tf.float32, name=MATRIX)],
    )

    def by_name(**columns: Any) -> dict[str, Any]:
        return module.scores(tf.stack([columns[name] for name in names], axis=1))

    specs = {name: tf.TensorSpec([None], tf.float32, name=name) for name in names}
    signatures = {
        DEFAULT: tf.function(by_name).get_concrete_function(**specs),
        MATRIX: module.scores.get_concrete_function(),
    }
    tf.saved_model.save(module, str(folder), signatures)
    _settle(folder)


def answers(folder: Path, features: NDArray[np.float32], names: tuple[str, ...], batch: int = 4096) -> list[Answers]:
    """What each signature of a SavedModel makes of float32[n, F], loaded anew from disk."""
    tf = _tensorflow()
    signatures = tf.saved_model.load(str(folder)).signatures
    both: dict[str, list[dict[str, Any]]] = {DEFAULT: [], MATRIX: []}
    for start in range(0, len(features), batch):
        X = tf.constant(features[start : start + batch])
        both[MATRIX].append(signatures[MATRIX](features=X))
        columns = {name: X[:, f] for f, name in enumerate(tensor_names(names))}
        both[DEFAULT].append(signatures[DEFAULT](**columns))
    return [
        Answers(
            f"SavedModel ({signature})",
            np.concatenate([part["probabilities"].numpy() for part in parts]),
            np.concatenate([part["label"].numpy() for part in parts]),
        )
        for signature, parts in both.items()
    ]


def write_and_answer(forest: Forest, features: tuple[str, ...], folder: Path, X: NDArray[np.float32]) -> list[Answers]:
    """Both at once, so that TensorFlow is imported once."""
    write(forest, features, folder)
    return answers(folder, X, features)


def _tensorflow() -> Any:
    """TensorFlow, without what its libraries write to standard error before its logging can be told not to."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    return tensorflow


def _answer(tf: Any, forest: Forest, X: Any) -> dict[str, Any]:
    """Walk all trees at once, one level a step. X: float32[n, F]."""
    leaf = forest.feature < 0
    # One gather a level instead of four: feature, left, right and the way of missing values in one row.
    table = np.stack([np.where(leaf, 0, forest.feature), forest.left, forest.right, forest.missing_left], axis=1)
    nodes, thresholds = tf.constant(table, tf.int32), tf.constant(forest.threshold)
    at = tf.tile(tf.constant(forest.roots[None, :], tf.int32), [tf.shape(X)[0], 1])
    for _ in range(forest.depth):
        node = tf.gather(nodes, at)
        x, threshold = tf.gather(X, node[..., 0], batch_dims=1), tf.gather(thresholds, at)
        passes = x < threshold if forest.test == "<" else x <= threshold
        passes = tf.where(tf.math.is_nan(x), node[..., 3] > 0, passes)
        at = tf.where(passes, node[..., 1], node[..., 2])
    scores = tf.reduce_sum(tf.gather(tf.constant(forest.value), at), axis=1) + tf.constant(forest.base)
    probabilities = tf.nn.softmax(scores) if forest.link == "softmax" else scores
    return {
        "probabilities": tf.identity(probabilities, name="probabilities"),
        "label": tf.argmax(probabilities, axis=1, output_type=tf.int32, name="label"),
    }


def _settle(folder: Path) -> None:
    """Take out what would differ from one run to the next: random fingerprint, order of protobuf maps."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    (folder / "fingerprint.pb").unlink(missing_ok=True)
    if (folder / "assets").is_dir() and not any((folder / "assets").iterdir()):
        (folder / "assets").rmdir()
    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (folder / "saved_model.pb").write_bytes(model.SerializeToString(deterministic=True))
