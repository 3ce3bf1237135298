"""`epm serve --workers 2`: two processes that are one gateway to callers, to Prometheus, and to operators."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from serving.stubs.epm.v1 import features_pb2 as f1
from serving.stubs.epm.v1 import features_pb2_grpc, prediction_pb2_grpc
from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.faults.protocols import PROTOCOLS, ask
from tests.integration.commands import epm
from tests.integration.publishing import get
from tests.support.gateways import gateway
from tests.support.metrics import sample, scrape, total, until
from tests.support.redis import RedisServer
from tests.support.workers import PATIENCE, all_up, lives, places, process_of, said_by

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
TOKEN = "a-token-for-tests-only"  # noqa: S105
CONNECTIONS = 24
"""Of which a worker gets none with a chance of 1 in 2^24."""
QUESTION = ask(hours=[40.0], department=["sales"])


@pytest.fixture
def folder():
    """For temporary files; sockets are among them, whose paths must be short: `tmp_path` is none."""
    with tempfile.TemporaryDirectory(prefix="epm-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def pair(small_repository):
    """Two workers."""
    with gateway(small_repository, workers=2) as running:
        yield running


def channels(at):
    """Channels that share no connection, one after the other."""
    for _ in range(CONNECTIONS):
        with grpc.insecure_channel(at.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield channel


def ask_over_many_connections(at, protocol="epm"):
    """One call on each; the answers."""
    kind = PROTOCOLS[protocol]
    body = kind.encode(None, QUESTION)
    return [channel.unary_unary(kind.method)(body, timeout=30) for channel in channels(at)]


def answered(at):
    return sample(at, "epm_requests_total", status="OK")


def test_connections_are_spread_and_every_call_is_counted_once(pair):
    before = answered(pair)
    for protocol in ("tf_serving", "kserve", "epm"):
        assert len(set(ask_over_many_connections(pair, protocol))) == 1, "all workers say the same"
    body = {"instances": [{"hours": 40.0, "department": "sales"}]}
    assert {get(pair, "/v1/models/small:predict", body)[0] for _ in range(CONNECTIONS)} == {200}
    assert {answered(pair) - before for _ in range(CONNECTIONS)} == {4 * CONNECTIONS}, "whichever worker is asked"
    each = [said_by(place) for place in places(pair.process.pid).values()]
    assert all(total(one, "epm_requests_total", status="OK", protocol="epm") for one in each)
    assert all(total(one, "epm_requests_total", status="OK", protocol="rest_tf") for one in each)
    assert sum(total(one, "epm_requests_total", status="OK") for one in each) == answered(pair)


def test_metrics_are_those_of_one_gateway_with_two_processes(pair):
    ask_over_many_connections(pair)
    samples = scrape(pair)
    (one, other) = (said_by(place) for place in places(pair.process.pid).values())
    for name, value in (
        ("epm_workers", 2),
        ("epm_workers_up", 2),
        ("epm_ready", 1),
        ("epm_build_info", 1),
        ("epm_models_served", 2),
        ("epm_model_versions", 3),
        ("epm_rows_in_flight", 0),
        ("epm_rows_in_flight_limit", 2 * 65536),
        ("process_start_time_seconds", min(total(said, "process_start_time_seconds") for said in (one, other))),
    ):
        assert total(samples, name) == value, name
    assert {(each.name, *each.labels.items()) for each in one} <= {
        (each.name, *each.labels.items()) for each in samples
    }
    buckets = [each for each in samples if each.name == "epm_request_duration_seconds_bucket"]
    assert buckets
    assert len({(each.labels["protocol"], each.labels["method"], each.labels["le"]) for each in buckets}) == len(
        {tuple(each.labels.items()) for each in buckets}
    )
    restarts = {each.labels["reason"] for each in samples if each.name == "epm_worker_restarts_total"}
    assert restarts == {"crash", "stuck", "ended"}


def test_the_page_of_metrics_names_what_only_several_workers_have(pair, small):
    new = {each.name for each in scrape(pair)} - {each.name for each in scrape(small)}
    named = set(re.findall(r"^- `(epm_\w+)", PAGE.read_text("utf-8"), re.MULTILINE))
    assert {name for name in new if name.startswith("epm_worker")} == named


def test_probes_say_that_it_is_ready(pair):
    for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
        with urllib.request.urlopen(f"http://{pair.http}{path}", timeout=10) as response:
            assert response.status == 200


@pytest.mark.parametrize("port", ["grpc", "http"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_a_gateway_with_workers_has_is_taken(port, workers, pair, small_repository):
    """Although who shares a port lets everybody in who shares it, too."""
    taken = getattr(pair, port).split(":")[1]
    other = {"grpc": "http", "http": "grpc"}[port]
    asked = ("--workers", workers, f"--{port}-port", taken, f"--{other}-port", 0)
    _is_taken(epm("serve", "--model-repo", small_repository, *asked), taken)


@pytest.mark.parametrize("port", ["grpc", "http"])
def test_a_port_that_another_program_has_is_one_sentence(port, small_repository):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = str(server.getsockname()[1])
        other = {"grpc": "http", "http": "grpc"}[port]
        asked = ("--workers", 2, f"--{port}-port", taken, f"--{other}-port", 0)
        _is_taken(epm("serve", "--model-repo", small_repository, *asked), taken)


def _is_taken(done, port):
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("epm: "))
    assert port in line
    assert "Traceback" not in done.stderr
    assert "ready" not in done.stdout


@pytest.mark.parametrize(
    ("wrong", "said", "status"),
    [
        ({"workers": 65}, "EPM_WORKERS: got 65, expected at most 64", 2),
        ({"workers": 2, "hash_key_file": "nobody"}, "EPM_HASH_KEY_FILE", 2),
        ({"workers": 2, "model_repo": "nobody"}, "EPM_MODEL_REPO", 2),
        ({"workers": 2, "worker": "nobody"}, "EPM_WORKER: got 'nobody', expected nothing", 2),
    ],
)
def test_what_keeps_workers_from_starting_is_said_once(wrong, said, status, small_repository, folder):
    options = {"model_repo": small_repository, "grpc_port": 0, "http_port": 0, **wrong}
    done = epm("serve", *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()), TMPDIR=str(folder))
    assert done.returncode == status
    assert done.stderr.count("epm: ") == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []


def test_a_signal_during_the_start_ends_all_of_it_with_0(small_repository, folder):
    with _started(small_repository, folder) as process:
        assert until(lambda: places(process.pid), PATIENCE)
        workers = places(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout.read() == ""
    assert not any(map(lives, workers))


@contextlib.contextmanager
def _started(repository, folder):
    kept = {name: text for name, text in os.environ.items() if not name.startswith("EPM_") or "JIT" in name}
    options = (f"--model-repo={repository}", "--workers=2", "--grpc-port=0", "--http-port=0")
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.cli", "serve", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**kept, "TMPDIR": str(folder)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_worker_that_is_told_to_end_drains_and_comes_back_and_no_count_is_lost(pair):
    ask_over_many_connections(pair)
    before = answered(pair)
    ask_over_many_connections(pair)
    ended = process_of(pair, 2)
    os.kill(ended, signal.SIGTERM)
    assert until(lambda: not lives(ended), PATIENCE)
    assert until(lambda: sample(pair, "epm_worker_restarts_total", reason="ended") == 1, PATIENCE)
    assert answered(pair) == before + CONNECTIONS
    assert all_up(pair)
    ask_over_many_connections(pair)
    assert answered(pair) == before + 2 * CONNECTIONS
    assert process_of(pair, 2) != ended
    assert total(said_by(places(pair.process.pid)[process_of(pair, 2)]), "epm_requests_total", status="OK")


def test_everything_drains_and_ends_with_0(pair):
    """The last test of these workers."""
    workers = places(pair.process.pid)
    with grpc.insecure_channel(pair.grpc) as channel:
        sent = v1.PredictRequest.FromString(PROTOCOLS["epm"].encode(None, QUESTION))
        asked = [sent]

        def messages():
            while asked:
                yield asked.pop()
                time.sleep(0.2)
            pair.process.send_signal(signal.SIGTERM)
            yield sent

        answers = prediction_pb2_grpc.PredictionServiceStub(channel).StreamPredict(messages(), timeout=60)
        assert next(answers).outputs, "a stream that is open when all are told to end"
        with contextlib.suppress(grpc.RpcError):
            list(answers)
    assert pair.process.wait(60) == 0
    assert len(workers) == 2
    assert not any(map(lives, workers))
    assert not any(place.folder.exists() for place in workers.values())
    assert "Traceback" not in "".join(pair.log)


@pytest.fixture(scope="module")
def store(small_repository, tmp_path_factory):
    """Two workers and a Redis."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "key").write_text("00112233445566778899aabbccddeeff\n")
    (folder / "token").write_text(f"{TOKEN}\n")
    files = {"hash_key_file": folder / "key", "facts_token_file": folder / "token"}
    with RedisServer() as redis, gateway(small_repository, workers=2, redis_url=redis.url, **files) as running:
        yield running


def test_facts_that_one_worker_is_told_are_known_to_all(store):
    asked = v1.PredictRequest(model=v1.ModelRef(name="small"))
    asked.entities.entity_type = "employee"
    asked.entities.ids.append("canary-1")
    answers = []

    def said_of_everybody():
        stubs = map(prediction_pb2_grpc.PredictionServiceStub, channels(store))
        return {stub.Predict(asked, timeout=30).outputs[0].SerializeToString() for stub in stubs}

    for hours in (30.0, 60.0):
        event = f1.FactsEvent(
            entity_type="employee", entity_id="canary-1", source="test", as_of=Timestamp(seconds=int(time.time()))
        )
        event.sequence = int(hours)
        event.facts.add(name="hours", number=hours)
        with grpc.insecure_channel(store.grpc) as channel:
            put = features_pb2_grpc.FeatureServiceStub(channel).PutFacts
            metadata = [("authorization", f"Bearer {TOKEN}")]
            assert put(f1.PutFactsRequest(events=[event]), metadata=metadata, timeout=30).applied == 1
        new = (len(said) == 1 and said not in answers for said in iter(said_of_everybody, None))
        assert until(lambda new=new: next(new), 30), "each worker's replica is told by Redis what has changed"
        answers.append(said_of_everybody())
    assert sample(store, "epm_store_up") == 1
    samples = [said_by(place) for place in places(store.process.pid).values()]
    assert all(total(one, "epm_store_rows_total") for one in samples)
    assert sample(store, "epm_store_rows_total") == sum(total(one, "epm_store_rows_total") for one in samples)


def test_no_worker_stays_behind_when_the_supervisor_is_killed(store):
    """The last test of these workers."""
    workers = places(store.process.pid)
    store.process.kill()
    store.process.wait()
    assert len(workers) == 2
    assert until(lambda: not any(map(lives, workers)), PATIENCE)
    assert not any(place.folder.exists() for place in workers.values())
    assert "".join(store.log).count("draining, at most 20 s") == 2
