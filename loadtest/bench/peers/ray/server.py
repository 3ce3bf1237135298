"""The model behind Ray Serve: `python server.py PORT FOLDER`, with MODEL_FILE and WORKERS in the environment.

As https://docs.ray.io/en/latest/serve/develop-and-deploy.html has it: a deployment that takes Starlette's request and
gives what becomes JSON. RAY_SERVE_THROUGHPUT_OPTIMIZED=1, as its page on performance says, is for who starts this.
"""

import os
import secrets
import sys
from typing import Any

import numpy as np
import onnxruntime
import ray
from ray import serve
from ray._private import ray_constants
from starlette.requests import Request

OBJECT_STORE_BYTES = 100 << 20
"""No object passes through it; Ray takes a third of the memory otherwise."""


@serve.deployment(max_ongoing_requests=100)
class Performance:
    """One session a replica."""

    def __init__(self, model: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    async def __call__(self, request: Request) -> dict[str, Any]:
        """{"features": n rows of 51} -> {"probabilities": n rows}."""
        features = np.asarray((await request.json())["features"], np.float32)
        (probabilities,) = self._session.run(["probabilities"], {"features": features})
        return {"probabilities": probabilities.tolist()}


def listen_here() -> None:
    """Called in every worker: a replica listens for other replicas on all addresses otherwise, asked or not."""
    from ray.serve._private import replica

    bind = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, _: bind(server, "127.0.0.1:0")


def main(port: int, folder: str) -> None:
    """Serve on 127.0.0.1:port until a signal ends it. folder: a short path, Ray puts sockets below it."""
    workers = int(os.environ.get("WORKERS", "1"))
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # otherwise it writes one below the home directory
    ray_constants.ENABLE_RAY_CLUSTER = False  # otherwise it listens on all addresses of this machine
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        runtime_env={"worker_process_setup_hook": listen_here},
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    app = Performance.options(num_replicas=workers).bind(os.environ["MODEL_FILE"])
    serve.run(app, route_prefix="/predict", blocking=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
