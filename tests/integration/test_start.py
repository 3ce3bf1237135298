"""What keeps a gateway from starting is one sentence and an exit status; ready means that every model answers."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import grpc
import pytest

from serving.stubs.foreign import kserve_v2_pb2 as v2
from tests.integration.commands import epm
from tests.support.metrics import sample, until
from tests.support.models import write_version

pytestmark = pytest.mark.integration


@pytest.fixture
def taken():
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(("mine", "other"), [("--grpc-port", "--http-port"), ("--http-port", "--grpc-port")])
def test_a_taken_port_is_one_sentence_that_names_it(mine, other, taken, small_repository):
    done = epm("serve", "--model-repo", small_repository, mine, taken, other, 0)
    assert done.returncode == 1
    assert str(taken) in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("epm: ")
    assert "Traceback" not in done.stderr
    assert "ready" not in done.stdout


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("--max-rows", "0", "EPM_MAX_ROWS"),
        ("--max-rows", "many", "EPM_MAX_ROWS"),
        ("--grpc-port", "65536", "EPM_GRPC_PORT"),
        ("--grpc-port", "-1", "EPM_GRPC_PORT"),
        ("--repository-poll-seconds", "nan", "EPM_REPOSITORY_POLL_SECONDS"),
        ("--repository-poll-seconds", "inf", "EPM_REPOSITORY_POLL_SECONDS"),
        ("--drain-seconds", "-1", "EPM_DRAIN_SECONDS"),
        ("--log-level", "loud", "EPM_LOG_LEVEL"),
        ("--max-rows-in-flight", "100", "EPM_MAX_ROWS_IN_FLIGHT"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_exit_status_2(option, value, name, small_repository):
    ports = ("--grpc-port", 0, "--http-port", 0) if option != "--grpc-port" else ("--http-port", 0)
    done = epm("serve", "--model-repo", small_repository, *ports, f"{option}={value}", timeout=20)
    assert done.returncode == 2
    assert done.stderr.startswith(f"epm: {name}: got ")
    assert len(done.stderr.splitlines()) == 1


def test_the_same_from_the_environment(small_repository):
    done = epm("serve", "--model-repo", small_repository, EPM_MAX_ROWS="canary")
    assert (done.returncode, done.stderr) == (2, "epm: EPM_MAX_ROWS: got 'canary', expected int\n")


def test_a_variable_that_is_no_setting_is_named(small_repository):
    done = epm("serve", "--model-repo", small_repository, EPM_MAX_ROW="7")
    assert done.returncode == 2
    assert "EPM_MAX_ROW: there is no such setting" in done.stderr


def test_an_option_that_is_none_is_refused():
    done = epm("serve", "--max-row", "7", "--max-ro", "1")
    assert done.returncode == 2


def test_a_repository_that_is_not_there_is_refused_by_name(tmp_path):
    done = epm("serve", "--model-repo", tmp_path / "nobody", "--grpc-port", 0, "--http-port", 0, timeout=30)
    assert done.returncode in (1, 2)
    assert "nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_of_the_environment_holds(small_repository, monkeypatch):
    done = epm("serve", "--model-repo", small_repository, "--grpc-port", 0, "--http-port", 70000, EPM_MAX_ROWS="5")
    assert "EPM_HTTP_PORT" in done.stderr, "an option is read beside the environment"
    done = epm("serve", "--http-port", 0, EPM_MODEL_REPO=str(small_repository), EPM_GRPC_PORT="70000")
    assert "EPM_GRPC_PORT: got 70000" in done.stderr
    done = epm("serve", "--grpc-port", 70001, EPM_MODEL_REPO=str(small_repository), EPM_GRPC_PORT="70000")
    assert "EPM_GRPC_PORT: got 70001" in done.stderr, "the command line wins"


def test_the_ready_line_names_ports_that_answer(small):
    assert small.grpc.startswith("127.0.0.1:")
    assert sample(small, "epm_models_served") == 2


def test_ready_means_that_grpc_listens_and_every_model_is_served(tmp_path):
    """The HTTP port answers first; who is sent here because of it must not be refused."""
    names = [f"model_{number}" for number in range(12)]
    for name in names:
        write_version(tmp_path, name, 1)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        grpc_port, http_port = one.getsockname()[1], other.getsockname()[1]
    command = [sys.executable, "-m", "serving.cli", "serve", "--model-repo", str(tmp_path)]
    process = subprocess.Popen(
        [*command, f"--grpc-port={grpc_port}", f"--http-port={http_port}"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert until(lambda: process.poll() is not None or _status(http_port, "/livez") == 200, 60)
        assert until(lambda: process.poll() is not None or _status(http_port, "/readyz") == 200, 60)
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            ready = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelReady",
                request_serializer=v2.ModelReadyRequest.SerializeToString,
                response_deserializer=v2.ModelReadyResponse.FromString,
            )
            assert all(ready(v2.ModelReadyRequest(name=name), timeout=10).ready for name in names)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def test_onnxruntime_does_not_report_to_its_maker():
    code = "import os, serving; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for said, expected in ((None, "1"), ("0", "0")):
        environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        environment |= {"ORT_DISABLE_TELEMETRY": said} if said else {}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def _status(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0
