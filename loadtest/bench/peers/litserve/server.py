"""The model behind LitServe: `python server.py PORT`, with MODEL_FILE and WORKERS in the environment.

As https://lightning.ai/docs/litserve/api-reference/litapi has it: decode, predict, encode, in worker processes behind
an HTTP server.
"""

import os
import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime
from numpy.typing import NDArray


class Performance(litserve.LitAPI):
    """One session a worker."""

    def setup(self, device: str) -> None:
        """Once in each worker."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ["MODEL_FILE"], options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request: dict[str, Any]) -> NDArray[np.float32]:
        """{"features": n rows of 51} -> float32[n, 51]."""
        return np.asarray(request["features"], np.float32)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[n, 51] -> probabilities float32[n, 3]."""
        (probabilities,) = self._session.run(["probabilities"], {"features": features})
        return probabilities

    def encode_response(self, probabilities: NDArray[np.float32]) -> dict[str, Any]:
        """{"probabilities": n rows}."""
        return {"probabilities": probabilities.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Performance(), accelerator="cpu", workers_per_device=int(os.environ.get("WORKERS", "1")), timeout=60
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning"
    )
