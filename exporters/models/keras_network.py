"""The wide and deep network in Keras: trained here, and asked here what its exports are held to.

TensorFlow is imported only in this module's functions: call them through `FreshProcess`. One thread and deterministic
operations: the same rows and seed give the same weights.
"""

from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.models.network import WideDeep

UNITS, HIDDEN = 48, 32
SMALLEST_BATCH, BATCH, LEARNING_RATE, WIDE_PENALTY = 32, 512, 6e-3, 1e-4
EPOCHS = 12
HORIZONS = 2
_ASKED = 4096  # rows at a time


def fit(
    features: NDArray[np.float32], history: NDArray[np.float32], target: NDArray[np.int64], seed: int, epochs: int
) -> WideDeep:
    """Train on rows float32[n, F] and float32[n, T, K]. target: int64[n], 0: in the first period, 1: in the second.

    The loss is that of a discrete-time hazard model: the second period is learnt from those who outlived the first
    (Gensheimer & Narasimhan 2019, "A scalable discrete-time survival model for neural networks").
    """
    keras, tf = _libraries(seed)
    model = _model(keras, features.shape[1], history.shape[1:])
    batch = int(np.clip(len(target) // 128, SMALLEST_BATCH, BATCH))
    steps = epochs * -(-len(target) // batch)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(keras.optimizers.Adam(rate), lambda y, z: _loss(tf, y, z))
    model.fit([features, history], target[:, None].astype(np.float32), epochs=epochs, batch_size=batch, verbose=0)
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    return WideDeep(*weights["wide"], *weights["lstm"], *weights["hidden"], *weights["head"])


def logits(network: WideDeep, features: NDArray[np.float32], history: NDArray[np.float32]) -> NDArray[np.float32]:
    """What Keras makes of a trained network: float32[n, 2]."""
    keras, _ = _libraries(0)
    model = _model(keras, features.shape[1], history.shape[1:])
    arrays = iter(astuple(network))
    for name, count in (("wide", 2), ("lstm", 3), ("hidden", 2), ("head", 1)):
        model.get_layer(name).set_weights([next(arrays) for _ in range(count)])
    batches = [slice(start, start + _ASKED) for start in range(0, len(features), _ASKED)]
    return np.concatenate([model([features[rows], history[rows]]).numpy() for rows in batches])


def _libraries(seed: int) -> tuple[Any, Any]:
    from exporters.quiet import tensorflow

    tf = tensorflow()
    import keras

    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)
    return keras, tf


def _model(keras: Any, features: int, history: tuple[int, ...]) -> Any:
    layers = keras.layers
    facts, months = keras.Input((features,)), keras.Input(history)
    deep = layers.Dense(HIDDEN, activation="relu", name="hidden")(layers.LSTM(UNITS, name="lstm")(months))
    deep = layers.Dense(HORIZONS, use_bias=False, name="head")(deep)
    penalty = keras.regularizers.L2(WIDE_PENALTY)
    wide = layers.Dense(HORIZONS, kernel_regularizer=penalty, name="wide")(facts)
    return keras.Model([facts, months], layers.Add()([wide, deep]))


def _loss(tf: Any, target: Any, z: Any) -> Any:
    """Cross-entropy of both hazards; who left in the first period says nothing of the second."""
    cross = tf.nn.sigmoid_cross_entropy_with_logits
    y, there = target[:, 0], tf.cast(target[:, 0] > 0, tf.float32)
    first, second = (tf.cast(tf.equal(y, period), tf.float32) for period in (0.0, 1.0))
    return tf.reduce_mean(cross(first, z[:, 0]) + there * cross(second, z[:, 1]))
