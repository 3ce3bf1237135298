"""Overlays rendered once, and a gateway whose /metrics has every family there is."""

import urllib.request
from collections.abc import Iterator

import pytest

from tests.conftest import MODEL_REPO
from tests.kubernetes.manifests import OVERLAYS, Manifest, render
from tests.kubernetes.program import Program
from tests.support.gateways import gateway
from tests.support.metrics import scrape
from tests.support.ports import free_ports


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Manifest]]:
    """The objects of each overlay; not to be changed."""
    return {overlay: render(f"overlays/{overlay}") for overlay in OVERLAYS}


@pytest.fixture(scope="session")
def base() -> list[Manifest]:
    """The objects of the base; not to be changed."""
    return render("base")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A running gateway whose Redis and Triton are away: what it says of them in its metrics is there all the same."""
    key = tmp_path_factory.mktemp("key") / "hash-key"
    key.write_text("00112233445566778899aabbccddeeff\n")
    nobody = [f"127.0.0.1:{port}" for port in free_ports(2)]
    options = {
        "redis_url": f"redis://{nobody[0]}",
        "cache_redis_url": f"redis://{nobody[0]}",
        "hash_key_file": key,
        "triton_address": nobody[1],
        "backends": "forest,onnxruntime;attrition_model=triton,onnxruntime",
    }
    with gateway(MODEL_REPO, **options) as running:
        samples = {sample.name for sample in scrape(running)}
        yield Program(running.http, frozenset(samples | families(running.http)))


def families(address: str) -> set[str]:
    """Names of families that /metrics announces, with or without series."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    announced = [line.split()[2:4] for line in lines if line.startswith("# TYPE ")]
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + suffix for name, kind in announced for suffix in suffixes.get(kind, ("",))}
