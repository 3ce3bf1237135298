"""gRPC for JavaScript (@grpc/grpc-js), which has an HTTP/2 of its own, against the compiled listener."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.protocols import Epm, ask
from tests.support.gateways import gateway

pytestmark = [pytest.mark.conformance, pytest.mark.slow]

PROGRAM = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The client with what it needs, in a temporary folder."""
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            pytest.fail(f"{name} is not here: this test needs Node.js 18 or later with npm")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(PROGRAM, folder, dirs_exist_ok=True)
    made = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert made.returncode == 0, made.stderr
    return folder / "client.js"


def test_everything_that_grpc_for_javascript_does_is_answered(program, small_repository):
    good, bad = (Epm.encode(None, ask(hours=[hours])) for hours in (40.5, -1))
    texts = [base64.b64encode(body).decode() for body in (good, bad)]
    with gateway(small_repository, listener="h2") as running:
        done = subprocess.run(
            ["node", str(program), running.grpc, *texts], capture_output=True, text=True, timeout=120, check=True
        )
        log = "".join(running.log)
    told = json.loads(done.stdout)
    right = told["unary"]
    assert right["code"] == 0
    assert set(told["many"]) == {right["answer"]}
    assert told["again"] == right
    assert (told["refused"]["code"], told["refused"]["bytes"]) == (3, 1)
    assert "hours" in told["refused"]["details"]
    assert told["unknown"]["code"] == 12
    assert told["late"]["code"] == 4
    assert told["stream"] == {"code": 0, "answers": [right["answer"]] * 50}
    assert told["left"] == 1
    assert "defect" not in log
