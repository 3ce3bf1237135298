"""Where a model came from, as its contract says it."""

import hashlib
import platform
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from exporters.data.dataset import Dataset
from serving.contract import Provenance
from serving.version import __version__

_LIBRARIES = (
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "xgboost-cpu",
    "tensorflow",
    "keras",
    "onnx",
    "onnxruntime",
    "fairlearn",
    "matplotlib",
)


def provenance(dataset: Dataset, rows: int, seed: int) -> Provenance:
    """Of a model trained on `rows` rows; algorithm and digest of the features are not known yet."""
    return Provenance(
        data=dataset.description,
        data_sha256=dataset.sha256,
        rows=rows,
        code=__version__,
        algorithm="",
        seed=seed,
        synthetic=dataset.synthetic,
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in _LIBRARIES}},
    )


def features_sha256(inputs: dict[str, NDArray[np.float32]]) -> str:
    """Digest of what a graph was trained on: its inputs one after the other, row-major."""
    digest = hashlib.sha256()
    for tensor in inputs.values():
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()
