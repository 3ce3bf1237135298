"""KServe's Python server with a model of our own."""

import shutil
from pathlib import Path

from loadtest.bench.peer import Launch, Peer, Setting, free_ports
from loadtest.bench.wires import TENSOR, counted

PROGRAM = Path(__file__).parent / "server.py"


def launch(setting: Setting) -> Launch:
    """`workers` are of its HTTP side only: its gRPC side is one process."""
    http, grpc = free_ports(2)
    program = shutil.copy(PROGRAM, setting.folder)
    graphs = [f"{model}={setting.graph(model)}" for model in setting.models]
    options = ["--http_port", str(http), "--grpc_port", str(grpc), "--enable_latency_logging", "false"]
    return Launch(
        [setting.python, program, *options, *graphs],
        {"grpc": f"127.0.0.1:{grpc}", "http": f"127.0.0.1:{http}"},
        variables={"KSERVE_LOGLEVEL": "WARNING"},
        handled=lambda: counted(f"http://127.0.0.1:{http}/metrics", "request_predict_seconds_count"),
    )


PEER = Peer(
    name="kserve",
    title="KServe",
    note="KServe's Python server with a `kserve.Model` of our own (`loadtest/bench/peers/kserve`), gRPC v2, binary "
    "tensors, on uvloop as the others are. Its log lines for every request are switched off, which favours it.",
    launch=launch,
    wires=(TENSOR,),
    environment="kserve",
    versions=("kserve", "onnxruntime", "grpcio"),
)
