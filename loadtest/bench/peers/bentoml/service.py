"""The model behind BentoML: `bentoml serve service:Performance`, with MODEL_FILE and WORKERS in the environment.

As https://docs.bentoml.com/en/latest/build-with-bentoml/services.html has it: a class with an `api` that takes an array
and is called in threads; workers are processes.
"""

import os
from typing import Annotated, Any

import bentoml
import numpy as np
import onnxruntime
from bentoml.validators import DType, Shape

Features = Annotated[np.ndarray, Shape((-1, 51)), DType("float32")]


@bentoml.service(workers=int(os.environ.get("WORKERS", "1")), traffic={"timeout": 60})
class Performance:
    """One session a worker."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ["MODEL_FILE"], options, providers=["CPUExecutionProvider"]
        )

    @bentoml.api
    def predict(self, features: Features) -> dict[str, Any]:
        """features float32[n, 51] -> probabilities of n rows."""
        (probabilities,) = self._session.run(["probabilities"], {"features": features})
        return {"probabilities": probabilities.tolist()}
