"""The integration example, word for word: one input `hours`, over the insecure channel of tensorflow-serving-api."""

import json
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.conftest import MODEL_REPO
from tests.support.gateways import gateway

pytestmark = pytest.mark.conformance

DEFAULT_PORT = 8500


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def answer():
    """What the example prints, asked at localhost:8500 where that port is free."""
    port = DEFAULT_PORT
    if not _free(port):
        port = 0
        warnings.warn(f"port {DEFAULT_PORT} is taken on this machine: the example ran on a free port", stacklevel=1)
    with gateway(MODEL_REPO, grpc_port=port) as running:
        address = f"localhost:{running.grpc.rpartition(':')[2]}"
        script = Path(__file__).with_name("integration_example.py")
        command = [sys.executable, str(script), address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=script.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_gets_a_grade(answer):
    assert answer["model"] == "performance_model"
    assert len(answer["grade"]) == 1
    assert answer["grade"][0] == "ABC"[answer["label"][0]]


def test_the_example_gets_probabilities_that_sum_to_one_and_agree_with_the_grade(answer):
    (probabilities,) = answer["probabilities"]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert max(range(3), key=probabilities.__getitem__) == answer["label"][0]
    best, second = sorted(probabilities, reverse=True)[:2]
    assert answer["margin"][0] == pytest.approx(best - second, abs=1e-6)


def test_a_grade_from_one_column_is_marked_low_coverage(answer):
    assert 0 < answer["coverage"][0] < 0.5
    assert "low_coverage" in answer["warnings"][0].split(",")


def test_the_example_imports_nothing_of_this_project(answer):
    assert answer["ours"] == []
