"""Starts the reference server for TF Serving's gRPC API (`tf_serving_program.py`), which is not TF Serving."""

import sys
from pathlib import Path

import grpc

from tests.support.ports import free_ports
from tests.support.processes import ServerProcess

ROOT = Path(__file__).resolve().parents[2]


class TfServingReference(ServerProcess):
    """The reference server on one port as long as this lives; ready when all its models are loaded.

    repository: a model repository, as it is. options: of the program, as in delay_ms=50 or wrong_shape=True.
    """

    def __init__(self, repository: Path, **options: object) -> None:
        super().__init__()
        (self.grpc_port,) = free_ports(1)
        self._repository = repository.resolve()
        self.options = options

    @property
    def grpc(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.grpc_port}"

    def is_ready(self) -> bool:
        """It listens only once its models are loaded."""
        with grpc.insecure_channel(self.grpc) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=0.2)
            except grpc.FutureTimeoutError:
                return False
            return True

    def command(self) -> list[str]:
        given = {name.replace("_", "-"): value for name, value in self.options.items()}
        arguments = [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items()]
        program = "tests.support.tf_serving_program"
        return [sys.executable, "-m", program, str(self._repository), str(self.grpc_port), *arguments]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
