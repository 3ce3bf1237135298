"""This gateway, as `epm serve` starts it, with the cache off."""

import sys
from dataclasses import replace
from pathlib import Path

from loadtest.bench.peer import Launch, Peer, Rows, Setting, Wire, free_ports, predictions
from loadtest.bench.wires import MODEL_INFER, TENSOR, counted, kserve_probabilities
from loadtest.bodies import kserve_model_infer


def launch(setting: Setting) -> Launch:
    """One process, whatever `workers` says: the gateway has none."""
    grpc, http = free_ports(2)
    epm = Path(sys.executable).with_name("epm")
    ports = ["--grpc-port", str(grpc), "--http-port", str(http)]
    return Launch(
        [str(epm), "serve", *ports, "--model-repo", str(setting.model_repo), "--cache", "off"],
        {"grpc": f"127.0.0.1:{grpc}", "http": f"127.0.0.1:{http}"},
        handled=lambda: counted(f"http://127.0.0.1:{http}/metrics", "epm_request_duration_seconds_count"),
    )


def launch_cold(setting: Setting) -> Launch:
    """The same with no kernel compiled yet."""
    warm = launch(setting)
    return replace(warm, variables={"EPM_JIT_CACHE_DIR": str(setting.folder / "kernels")})


def _raw(model: str, rows: Rows) -> bytes:
    return kserve_model_infer(model, rows.columns)


RAW = Wire("raw", "grpc", MODEL_INFER, _raw, predictions(kserve_probabilities), title="raw columns")

PEER = Peer(
    name="gateway",
    title="this gateway",
    note="`epm serve --cache off`; everything else as it is by default. Asked with the graph's own tensor, as all "
    "others are, and in a row of its own with the raw named columns, of which it computes that tensor itself.",
    launch=launch,
    wires=(TENSOR, RAW),
)
COLD = replace(PEER, name="gateway_cold", title="this gateway, no kernel compiled yet", launch=launch_cold)
