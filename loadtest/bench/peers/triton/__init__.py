"""Triton 2.51 (24.10) from the wheel nvidia-pytriton, with a Python-based onnxruntime backend."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from loadtest.bench.peer import Launch, Peer, Setting, free_ports
from loadtest.bench.wires import EMPTY, TENSOR, counted
from loadtest.servers import ServerError

BACKEND = Path(__file__).parent / "backend"


def launch(setting: Setting) -> Launch:
    """The repository as it is, config.pbtxt included. Raises ServerError when the wheel is not there."""
    packages = next((setting.environment / "lib").glob("python3.*/site-packages"), Path())
    home = packages.absolute() / "pytriton" / "tritonserver"
    if not home.exists():
        raise ServerError(f"{setting.environment}: no tritonserver there")
    backends = setting.folder / "backends"
    _write_backends(home, backends, packages.parent.name.removeprefix("python"))
    grpc, http, metrics = free_ports(3)
    shared = f"epm-bench-{grpc}-"
    ports = {"grpc": grpc, "http": http, "metrics": metrics}
    arguments = [
        f"--model-repository={setting.model_repo}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={shared}",
        "--disable-auto-complete-config",
        *(f"--{name}-address=127.0.0.1" for name in ports),
        *(f"--{name}-port={port}" for name, port in ports.items()),
    ]
    path = f"{Path(setting.python).parent}:{os.environ['PATH']}"
    return Launch(
        [str(home / "bin" / "tritonserver"), *arguments],
        {name: f"127.0.0.1:{port}" for name, port in ports.items()},
        variables={"PATH": path, "LD_LIBRARY_PATH": str(packages.absolute() / "nvidia_pytriton.libs")},
        handled=lambda: counted(f"http://127.0.0.1:{metrics}/metrics", "nv_inference_request_success"),
        clean=lambda: _remove_shared_memory(shared),
    )


def _write_backends(home: Path, folder: Path, python: str) -> None:
    """Triton's Python backend with the stub for the environment's Python, and ours as `onnxruntime`; copies all."""
    shutil.copytree(home / "backends" / "python", folder / "python")
    stub = home / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.exists():
        raise ServerError(f"the wheel has no Python backend for Python {python}")
    (folder / "python" / stub.name).unlink(missing_ok=True)
    shutil.copy(stub, folder / "python")
    shutil.copytree(BACKEND, folder / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__"))


def _remove_shared_memory(prefix: str) -> None:
    """Between server and instances: it outlives a SIGKILL."""
    for left in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108 (not a file of ours)
        left.unlink(missing_ok=True)


PEER = Peer(
    name="triton",
    title="Triton",
    note="Triton 2.51 (24.10) from the wheel `nvidia-pytriton`, with a Python-based onnxruntime backend "
    "(`loadtest/bench/peers/triton/backend`): the wheel has no native one. `config.pbtxt` as committed: dynamic "
    "batching, one instance. NumPy 1 in its environment, as the wheel requires. The empty call is `ServerLive`: what "
    "its C++ front end costs with no inference behind it.",
    launch=launch,
    wires=(replace(TENSOR, title="Python-based onnxruntime backend"), EMPTY),
    environment="triton",
    versions=("nvidia-pytriton", "numpy", "onnxruntime"),
)
