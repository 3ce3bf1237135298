"""A trained model as a TensorFlow SavedModel of core operations, so that plain TF Serving runs it.

Two signatures with the same outputs: `serving_default` takes one float32[n] a feature, by name, and one float32[n, T]
a column of the window (oldest month first); `features` takes the graph's own tensors, `features` float32[n, F] and,
where there is a window, `history` float32[n, T, K]. TensorFlow is imported only here: call through `FreshProcess`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporters.formats import shapes, tf_graph
from exporters.formats.parity import Answers
from exporters.models.blend import Blend
from exporters.models.calibrated import CalibratedForest
from exporters.models.inputs import FEATURES, HISTORY
from exporters.models.made import Tensors
from exporters.quiet import tensorflow
from serving.contract import Program

DEFAULT, MATRIX = "serving_default", "features"


def tensor_names(values: tuple[str, ...]) -> tuple[str, ...]:
    """Names of features and window columns as TensorFlow takes them: letters, digits and underscores, no two alike.

    `department=Sales` becomes `department_Sales`; what loses all its letters, or would be there twice, gets its number.
    """
    names: list[str] = []
    for number, value in enumerate(values):
        name = re.sub(r"[^A-Za-z0-9]+", "_", value).strip("_")
        if not re.match(r"[A-Za-z]", name):
            name = f"feature_{name}".rstrip("_")
        taken = {other.lower() for other in names}
        if name.lower() in taken:
            name = f"{name}_{number}"
        while name.lower() in taken:  # somebody has that name, too
            name += "_"
        names.append(name)
    return tuple(names)


def by_name(program: Program, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Graph inputs as `serving_default` takes them: [n] a feature, [n, T] a column of the window."""
    features, window = _names(program)
    named = {name: inputs[FEATURES][:, f] for f, name in enumerate(features)}
    return named | {name: inputs[HISTORY][:, :, k] for k, name in enumerate(window)}


def write(model: CalibratedForest | Blend, program: Program, folder: Path) -> None:
    """Write `saved_model.pb` and `variables/` into `folder`: the same bytes for the same model, in a fresh process.

    program: names the model's features and the columns of its window. Raises ValueError when it has other ones, or when
    parts of the model do not fit each other.
    """
    takes = shapes.inputs(model)
    _check_program(program, takes)
    tf = tensorflow()
    features, window = _names(program)
    whole = {name: tf.TensorSpec([None, *shape], tf.float32, name=name) for name, shape in takes.items()}
    # Traced once, and held by nothing but the signatures: each trace has the whole model in it.
    answer = tf.function(lambda **inputs: tf_graph.outputs(tf, model, inputs)).get_concrete_function(**whole)

    def named(**columns: Any) -> dict[str, Any]:
        inputs = {FEATURES: tf.stack([columns[name] for name in features], axis=1)}
        if window:
            inputs[HISTORY] = tf.stack([columns[name] for name in window], axis=2)
        return answer(**inputs)

    single = {name: tf.TensorSpec([None], tf.float32, name=name) for name in features}
    single |= {name: tf.TensorSpec([None, takes[HISTORY][0]], tf.float32, name=name) for name in window}
    signatures = {
        DEFAULT: tf.function(named).get_concrete_function(**single),
        MATRIX: answer,
    }
    tf.saved_model.save(tf.Module(), str(folder), signatures)
    _settle(folder)


def answers(folder: Path, program: Program, inputs: Tensors, batch: int = 4096) -> list[Answers]:
    """What each signature of a SavedModel makes of n rows, loaded anew from disk."""
    tf = tensorflow()
    signatures = tf.saved_model.load(str(folder)).signatures
    parts: dict[str, list[dict[str, Any]]] = {DEFAULT: [], MATRIX: []}
    for start in range(0, len(inputs[FEATURES]), batch):
        given = {name: tf.constant(values[start : start + batch]) for name, values in inputs.items()}
        parts[MATRIX].append(signatures[MATRIX](**given))
        parts[DEFAULT].append(signatures[DEFAULT](**by_name(program, given)))
    return [
        Answers(
            f"SavedModel ({signature})",
            {name: np.concatenate([part[name].numpy() for part in of_signature]) for name in of_signature[0]},
        )
        for signature, of_signature in parts.items()
    ]


def write_and_answer(model: CalibratedForest | Blend, program: Program, folder: Path, inputs: Tensors) -> list[Answers]:
    """Both at once, so that TensorFlow is imported once."""
    write(model, program, folder)
    return answers(folder, program, inputs)


def _names(program: Program) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the features, and of the columns of the window."""
    names = tensor_names((*program.features, *program.window))
    return names[: len(program.features)], names[len(program.features) :]


def _check_program(program: Program, takes: shapes.Shapes) -> None:
    """The program has to make what the model takes."""
    made = {FEATURES: len(program.features)}
    if program.window:
        made[HISTORY] = len(program.window)
    wanted = {name: shape[-1] for name, shape in takes.items()}
    if made != wanted:
        raise ValueError(f"the program makes {made}, the model takes {wanted}")


def _settle(folder: Path) -> None:
    """Take out what would differ from one run to the next: random fingerprint, order of protobuf maps."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    (folder / "fingerprint.pb").unlink(missing_ok=True)
    if (folder / "assets").is_dir() and not any((folder / "assets").iterdir()):
        (folder / "assets").rmdir()
    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (folder / "saved_model.pb").write_bytes(model.SerializeToString(deterministic=True))
