"""A trained model as TensorFlow operations of the core, so that plain TF Serving runs it: no custom kernel, no loop.

Functions take the module `tf` because TensorFlow is imported only by who writes or runs a SavedModel.
"""

from typing import Any

import numpy as np

from exporters.formats import shapes
from exporters.models.blend import Blend
from exporters.models.calibrated import LEAST, CalibratedForest
from exporters.models.forest import Forest
from exporters.models.inputs import FEATURES, HISTORY
from exporters.models.network import WideDeep

Tensors = dict[str, Any]


def outputs(tf: Any, model: CalibratedForest | Blend, inputs: Tensors) -> Tensors:
    """Graph inputs by name (`shapes.inputs`) -> graph outputs by name."""
    if isinstance(model, CalibratedForest):
        return _classes(tf, model, inputs[FEATURES])
    return _horizons(tf, model, inputs[FEATURES], inputs[HISTORY])


def _classes(tf: Any, model: CalibratedForest, X: Any) -> Tensors:
    scores = _forest(tf, model.forest, X)
    if model.forest.link == "identity":
        scores = tf.math.log(tf.maximum(scores, np.float32(LEAST)))
    probabilities = tf.nn.softmax(scores * np.float32(model.slope) + model.shift, name=shapes.PROBABILITIES)
    label = tf.argmax(probabilities, axis=1, output_type=tf.int32, name=shapes.LABEL)
    return {shapes.PROBABILITIES: probabilities, shapes.LABEL: label}


def _horizons(tf: Any, model: Blend, X: Any, history: Any) -> Tensors:
    """Only parts with a weight become operations."""
    z = tf.constant(model.shift)
    if model.network_weight.any():
        z += model.network_weight * _network(tf, model.network, X, history, model.months)
    if model.forest_weight.any():
        months = tf.reshape(history, [-1, model.months * history.shape[2]])
        z += model.forest_weight * _forest(tf, model.forest, tf.concat([X, months], axis=1))
    first, second = tf.unstack(tf.sigmoid(z), axis=1)
    later = tf.add(first, (1 - first) * second, name=shapes.PROBABILITY_6M)
    return {
        shapes.PROBABILITY_3M: tf.identity(first, name=shapes.PROBABILITY_3M),
        shapes.PROBABILITY_6M: later,
        shapes.LABEL: tf.cast(later >= tf.constant(model.threshold, tf.float32), tf.int32, name=shapes.LABEL),
    }


def _network(tf: Any, network: WideDeep, X: Any, history: Any, months: int) -> Any:
    """float32[n, O]; the months of the LSTM are unrolled."""
    kernel = tf.constant(np.concatenate([network.kernel, network.recurrent]))  # once, not once a month
    rows, units = tf.shape(history)[0], network.recurrent.shape[0]
    state = cell = tf.zeros([rows, units])
    for month in range(months):
        gates = tf.matmul(tf.concat([history[:, month], state], axis=1), kernel) + network.gates
        enter, forget, new, leave = tf.split(gates, 4, axis=1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(enter) * tf.tanh(new)
        state = tf.sigmoid(leave) * tf.tanh(cell)
    hidden = tf.nn.relu(tf.matmul(state, network.hidden) + network.hidden_bias)
    return tf.matmul(X, network.wide) + network.wide_bias + tf.matmul(hidden, network.head)


def _forest(tf: Any, forest: Forest, X: Any) -> Any:
    """Summed leaves and base, float32[n, C]: all trees are walked at once, one level a step. X: float32[n, F]."""
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
    return tf.reduce_sum(tf.gather(tf.constant(forest.value), at), axis=1) + tf.constant(forest.base)
