"""Ways of asking in JSON over HTTP/1.1: `{"features": [[...]]}` of our programs, and the gateway's two REST APIs."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.answers import Probabilities, WrongAnswerError
from loadtest.bench.peer import Rows, Wire, predictions


def _plain(_: str, rows: Rows) -> bytes:
    return _dump({"features": rows.features.tolist()})


def _tf(_: str, rows: Rows) -> bytes:
    return _dump({"signature_name": "features", "inputs": rows.features.tolist()})


def _v2(_: str, rows: Rows) -> bytes:
    features = rows.features
    tensor = {
        "name": "features",
        "shape": list(features.shape),
        "datatype": "FP32",
        "data": features.reshape(-1).tolist(),
    }
    return _dump({"inputs": [tensor], "outputs": [{"name": "probabilities"}]})


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def plain_probabilities(answer: bytes, rows: int) -> Probabilities:
    """float32[rows, C] of `{"probabilities": [[...], ...]}`. Raises WrongAnswerError."""
    return _array(answer, rows, lambda said: said["probabilities"])


def tf_probabilities(answer: bytes, rows: int) -> Probabilities:
    """float32[rows, C] of `{"outputs": {"probabilities": ...}}`. Raises WrongAnswerError."""
    return _array(answer, rows, lambda said: said["outputs"]["probabilities"])


def v2_probabilities(answer: bytes, rows: int) -> Probabilities:
    """float32[rows, C] of the V2 protocol's `outputs`. Raises WrongAnswerError."""
    return _array(
        answer, rows, lambda said: next(one["data"] for one in said["outputs"] if one["name"] == "probabilities")
    )


def _array(answer: bytes, rows: int, found: Any) -> NDArray[np.float32]:
    try:
        return np.array(found(json.loads(answer)), np.float32).reshape(rows, -1)
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise WrongAnswerError(
            f"no probabilities of {rows} rows in {answer[:80]!r} ({type(error).__name__}: {error})"
        ) from error


PLAIN = Wire("json", "http", "/predict", _plain, predictions(plain_probabilities))
"""The same bytes for every program of ours behind another server."""

TF_REST = Wire(
    "tf_rest", "http", "/v1/models/{model}:predict", _tf, predictions(tf_probabilities), title="TF Serving REST"
)
V2_REST = Wire("v2_rest", "http", "/v2/models/{model}/infer", _v2, predictions(v2_probabilities), title="V2 REST")
