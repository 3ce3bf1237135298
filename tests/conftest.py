"""Gateways that many tests share, one process each; a test that changes its gateway starts its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateways import Running, gateway
from tests.support.models import NUMBERS, write_version
from tests.support.tf_serving_reference import TfServingReference
from tests.support.triton import TritonServer

MODEL_REPO = Path(__file__).parent.parent / "model_repo"


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small`, a classifier with versions 1 (label "stable") and 2, and `numbers`, with every other kind of output."""
    root = tmp_path_factory.mktemp("repository")
    write_version(root, "small", 1)
    write_version(root, "small", 2, seed=1)
    write_version(root, "numbers", 1, NUMBERS)
    (root / "small" / "labels.json").write_text(json.dumps({"stable": 1}))
    return root


@pytest.fixture(scope="session")
def small(small_repository: Path) -> Iterator[Running]:
    """A gateway on `small_repository` with default settings."""
    with gateway(small_repository) as running:
        yield running


@pytest.fixture(scope="session")
def performance() -> Iterator[Running]:
    """A gateway on the committed model repository."""
    with gateway(MODEL_REPO) as running:
        yield running


@pytest.fixture(scope="session")
def triton_server() -> Iterator[TritonServer]:
    """A real Triton on the committed model repository; not to be disturbed."""
    with TritonServer(MODEL_REPO) as running:
        yield running


@pytest.fixture(scope="session")
def tf_serving_reference() -> Iterator[TfServingReference]:
    """The reference server for TF Serving's API on the committed model repository; not to be disturbed."""
    with TfServingReference(MODEL_REPO, models_config=MODEL_REPO / "models.config") as running:
        yield running
