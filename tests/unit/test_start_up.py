"""Importing the gateway is cheap and brings nothing that belongs to exporters or clients."""

import ast
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import serving
from serving.jit import fingerprint, kernel
from tests.support.gateways import gateway

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("tensorflow", "tritonclient", "sklearn", "xgboost", "pandas", "keras", "onnx", "matplotlib")
PACKAGE = Path(serving.__file__).parent
LATE = ("numba", "onnxruntime", "aiohttp")


def modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*(name.split('.')[0] for name in sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_importing_the_gateway_imports_no_numba_onnxruntime_or_http_server() -> None:
    assert not modules_after("import serving.gateway") & {*HEAVY, *LATE}


def test_a_gateway_that_is_made_imports_nothing_of_exporters_and_clients() -> None:
    made = "from serving.gateway import Gateway; from serving.settings import Settings; import asyncio\n"
    made += (
        "async def make(): g = Gateway(Settings(model_repo='model_repo')); g.repository.scan()\nasyncio.run(make())\n"
    )
    loaded = modules_after(f"exec({made!r})")
    assert not loaded & set(HEAVY)
    assert set(LATE) <= loaded


def test_importing_the_gateway_costs_less_than_two_thirds_of_what_it_imports_later() -> None:
    """A ratio, not a time: how much a change that imports too much would cost shows on any machine."""

    def seconds(statement: str) -> float:
        code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
        runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True) for _ in range(3)]
        return min(float(run.stdout) for run in runs)

    both = seconds("import serving.gateway, serving.kernels, onnxruntime, aiohttp.web")
    assert seconds("import serving.gateway") < 0.67 * both


def test_the_jit_cache_is_named_after_every_kernel_source(tmp_path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a_kernels.py").write_text("x = 1")
    (tmp_path / "sub" / "kernels.py").write_text("y = 1")
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    (tmp_path / "sub" / "kernels.py").write_text("y = 2")
    assert fingerprint(tmp_path) != before


def imported(path: Path) -> set[str]:
    """All that a module imports, a name from a module as `module.name`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_kernels_stand_only_where_the_fingerprint_looks() -> None:
    users = [path for path in PACKAGE.rglob("*.py") if "serving.jit.kernel" in imported(path)]
    assert users
    assert all(path.name.endswith("kernels.py") for path in users)
    assert {path.name for path in PACKAGE.rglob("*.py") if "numba.njit" in imported(path)} == {"jit.py"}


def test_kernels_import_only_what_the_fingerprint_covers() -> None:
    """A constant of another module is compiled in: a change of it would go unnoticed."""
    covered = re.compile(
        r"numpy|math|llvmlite\..*|numba\..*|serving\.jit\.(kernel|inlined|general|general_inlined|bare|bare_inlined|callback)"
        r"|serving\.(\w+\.)*\w*kernels(\.\w+)?"
    )
    for path in PACKAGE.rglob("*kernels.py"):
        others = {name for name in imported(path) if not covered.fullmatch(name)}
        assert not others, f"{path.name} imports {others}"


def test_a_kernel_is_no_closure() -> None:
    step = 1.0

    def closes_over(x):
        return x + step

    with pytest.raises(TypeError, match="no closure"):
        kernel(closes_over)


@pytest.mark.integration
def test_a_gateway_with_one_model_stays_below_300_mb_also_after_large_calls() -> None:
    hours = {"inputs": {"hours": [40.0] * 4096}}
    with gateway(ROOT / "model_repo", listener="grpc_aio") as running:
        for body in (hours, {"inputs": {"hours": [40.0]}}, hours):
            request = urllib.request.Request(
                f"http://{running.http}/v1/models/performance_model:predict", json.dumps(body).encode()
            )
            urllib.request.urlopen(request, timeout=30).close()
        status = Path(f"/proc/{running.process.pid}/status").read_text()
    kilobytes = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
    assert kilobytes * 1024 < 300e6
