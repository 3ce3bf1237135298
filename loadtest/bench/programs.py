"""Servers behind which the model has to be put by a program of ours: BentoML, Ray Serve, LitServe."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from loadtest.bench.json_wires import PLAIN
from loadtest.bench.peer import Launch, Peer, Setting, free_ports

HERE = Path(__file__).parent.absolute() / "peers"


def _variables(setting: Setting, **more: str) -> Mapping[str, str]:
    return {"MODEL_FILE": str(setting.graph(setting.models[0])), "WORKERS": str(setting.workers), **more}


def _bentoml(setting: Setting) -> Launch:
    (port,) = free_ports(1)
    command = [str(Path(setting.python).with_name("bentoml")), "serve", "service:Performance"]
    where = ["--working-dir", str(HERE / "bentoml"), "--host", "127.0.0.1", "--port", str(port)]
    own = {"BENTOML_HOME": str(setting.folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    return Launch([*command, *where], {"http": f"127.0.0.1:{port}"}, _variables(setting, **own))


def _ray(setting: Setting) -> Launch:
    (port,) = free_ports(1)
    folder = tempfile.mkdtemp(prefix="ray")  # its sockets stand below it, and their paths have to be short
    own = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return Launch(
        [setting.python, str(HERE / "ray" / "server.py"), str(port), folder],
        {"http": f"127.0.0.1:{port}"},
        _variables(setting, **own),
        clean=lambda: shutil.rmtree(folder, ignore_errors=True),
    )


def _litserve(setting: Setting) -> Launch:
    (port,) = free_ports(1)
    command = [setting.python, str(HERE / "litserve" / "server.py"), str(port)]
    return Launch(command, {"http": f"127.0.0.1:{port}"}, _variables(setting))


BENTOML = Peer(
    name="bentoml",
    title="BentoML",
    note="a service of one worker whose API takes an array and is called in threads; adaptive batching, which it has "
    "for an API that asks for it, is off, as it is by default.",
    launch=_bentoml,
    wires=(PLAIN,),
    environment="bentoml",
    versions=("bentoml", "onnxruntime"),
)
RAY = Peer(
    name="ray",
    title="Ray Serve",
    note="one replica behind its HTTP proxy, with RAY_SERVE_THROUGHPUT_OPTIMIZED=1 as its documentation on performance "
    "says; a local cluster of one node without dashboard. HAProxy in front of it was not tried.",
    launch=_ray,
    wires=(PLAIN,),
    environment="ray",
    versions=("ray", "onnxruntime"),
)
LITSERVE = Peer(
    name="litserve",
    title="LitServe",
    note="one worker process behind one HTTP server process; batching is off, as it is by default.",
    launch=_litserve,
    wires=(PLAIN,),
    environment="litserve",
    versions=("litserve", "onnxruntime"),
)
PEERS = (BENTOML, RAY, LITSERVE)
