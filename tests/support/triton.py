"""A real Triton Inference Server in processes of its own, on free ports, stopped by their process ids.

Real is all of tritonserver 2.51 (release 24.10), which the wheel nvidia-pytriton carries: its gRPC and HTTP front ends,
its scheduler with dynamic batching, its version policy, its statistics. Not real is the backend that config.pbtxt
names: the wheel has no onnxruntime backend, so `triton_backends/onnxruntime/model.py` takes its place, run by Triton's
own Python backend in one process for each model instance. What it costs says nothing about Triton's C++ backends.
"""

import contextlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.support.ports import free_ports
from tests.support.processes import ServerProcess

BACKENDS = Path(__file__).parent / "triton_backends"


class TritonServer(ServerProcess):
    """A tritonserver on the same three ports as long as this lives; ready when all its models are.

    repository: a model repository, as it is. options: of tritonserver, as in model_config_name="gpu"; True is for those
    that take no value.
    """

    def __init__(self, repository: Path, **options: object) -> None:
        super().__init__()
        self.grpc_port, self.http_port, self.metrics_port = free_ports(3)
        self.repository = repository
        self._options = options

    @property
    def grpc(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def http(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.http_port}"

    def client(self) -> triton.InferenceServerClient:
        """An official client of its own for the test."""
        return triton.InferenceServerClient(self.grpc)

    def is_ready(self) -> bool:
        with self.client() as client, contextlib.suppress(InferenceServerException):
            return client.is_server_ready(client_timeout=2)
        return False

    def command(self) -> list[str]:
        """Without auto-completion: config.pbtxt says everything, and each instance starts once instead of twice."""
        backends = self.folder / "backends"
        _write_backends(backends)
        options: dict[str, object] = {
            "model_repository": self.repository,
            "backend_directory": backends,
            "backend_config": f"python,shm-region-prefix-name={self._shared}",
            "disable_auto_complete_config": True,
        }
        for name in ("grpc", "http", "metrics"):
            options |= {f"{name}_address": "127.0.0.1", f"{name}_port": getattr(self, f"{name}_port")}
        given = {name.replace("_", "-"): value for name, value in (options | self._options).items()}
        arguments = [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items()]
        return [str(home() / "bin" / "tritonserver"), *arguments]

    def environment(self) -> dict[str, str]:
        """Its Python backend runs the first python3 on PATH, with libraries of the wheel."""
        libraries = home().parent.parent / "nvidia_pytriton.libs"
        return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LD_LIBRARY_PATH": str(libraries)}

    def kill(self) -> None:
        super().kill()
        for left in Path("/dev/shm").glob(f"{self._shared}*"):
            left.unlink(missing_ok=True)

    @property
    def _shared(self) -> str:
        """How the names of the shared memory between server and instances begin: it outlives a SIGKILL."""
        return f"epm-triton-{self.grpc_port}-"


def home() -> Path:
    """Where the wheel has put tritonserver. Raises RuntimeError when it is not installed."""
    found = importlib.util.find_spec("pytriton")
    if found is None or found.origin is None:
        raise RuntimeError("no tritonserver: install requirements/triton.txt, as `make test` does")
    return Path(found.origin).parent / "tritonserver"


def slowed(repository: Path, into: Path, milliseconds: float) -> Path:
    """A copy of a model repository in which every run of a graph takes so much longer."""
    shutil.copytree(repository, into)
    for config in into.glob("*/config.pbtxt"):
        value = f'{{ string_value: "{milliseconds:g}" }}'
        text = config.read_text("utf-8")
        config.write_text(f'{text}parameters {{ key: "delay_ms" value: {value} }}\n', "utf-8")
    return into


def _write_backends(folder: Path) -> None:
    """Triton's Python backend with the stub for this Python, and ours; copies, for Triton refuses links out of here."""
    shutil.copytree(home() / "backends" / "python", folder / "python")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(home() / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")
    shutil.copytree(BACKENDS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
