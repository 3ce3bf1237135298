"""MLServer with a custom runtime."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from loadtest.bench.peer import Launch, Peer, Setting, free_ports
from loadtest.bench.wires import TENSOR, counted

RUNTIME = Path(__file__).parent / "runtime.py"


def launch(setting: Setting, parallel_workers: int = 0) -> Launch:
    """A folder as its documentation lays it out: settings.json, and model-settings.json beside runtime.py by model."""
    http, grpc, metrics = free_ports(3)
    root = setting.folder / "models"
    for model in setting.models:
        folder = root / model
        folder.mkdir(parents=True)
        shutil.copy(RUNTIME, folder)
        described = {
            "name": model,
            "implementation": "runtime.OnnxRuntime",
            "parameters": {"uri": str(setting.graph(model))},
        }
        (folder / "model-settings.json").write_text(json.dumps(described))
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": setting.workers if setting.workers > 1 else parallel_workers,
    }
    (root / "settings.json").write_text(json.dumps(settings))
    return Launch(
        [str(Path(setting.python).with_name("mlserver")), "start", str(root)],
        {"grpc": f"127.0.0.1:{grpc}", "http": f"127.0.0.1:{http}"},
        handled=lambda: counted(f"http://127.0.0.1:{metrics}/metrics", "model_infer_request_success_total"),
    )


PARALLEL = Peer(
    name="mlserver",
    title="MLServer",
    note="MLServer with a custom `MLModel` (`loadtest/bench/peers/mlserver`), gRPC V2, metrics on, `debug` (a log line "
    "for every call) off, adaptive batching off, which is its default. By default it hands calls to one worker "
    "process, with `parallel_workers` 0 it answers them itself: both are tried before anything is measured, and the "
    "one with more requests/s at one row is taken.",
    launch=partial(launch, parallel_workers=1),
    wires=(TENSOR,),
    environment="mlserver",
    versions=("mlserver", "onnxruntime", "grpcio"),
    setup="parallel_workers 1",
)
PEER = replace(PARALLEL, launch=launch, setup="parallel_workers 0", alternatives=(PARALLEL,))
