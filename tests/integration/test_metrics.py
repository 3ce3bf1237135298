"""What /metrics says of a real gateway: the documented metrics, bounded labels, where the time went."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from tests.support.gateways import Running, gateway
from tests.support.metrics import sample, scrape, total, until
from tests.support.models import write_version
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
ROW = {"hours": 40.0}


def post(at, path, body):
    request = urllib.request.Request(f"http://{at.http}{path}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def read(at):
    with urllib.request.urlopen(f"http://{at.http}/metrics", timeout=10) as response:
        return response.read().decode()


@pytest.fixture(scope="module")
def store_gateway(small_repository, tmp_path_factory):
    """One that has everything that metrics are of: store, cache in Redis, shared batches, the compiled listener."""
    folder = tmp_path_factory.mktemp("metrics")
    key = folder / "key"
    key.write_text("00112233445566778899aabbccddeeff\n")
    with (
        RedisServer() as redis,
        gateway(
            small_repository,
            redis_url=redis.url,
            cache_redis_url=redis.url,
            hash_key_file=key,
            batching="on",
            cache="redis",
            listener="h2",
        ) as running,
    ):
        yield running


def test_the_page_of_metrics_names_all_of_them_and_no_others(store_gateway):
    post(store_gateway, "/v1/models/small:predict", {"instances": [ROW]})
    families = {family.name: family for family in text_string_to_metric_families(read(store_gateway))}
    ours = {name for name in families if name.startswith("epm_")}
    page = PAGE.read_text("utf-8")
    documented = set(re.findall(r"^\| `(epm_\w+)", page, re.MULTILINE))
    assert {name.removesuffix("_total") for name in documented} == ours
    for name, family in families.items():
        if name in ours and family.samples:
            labels = set().union(*(one.labels for one in family.samples)) - {"le"}
            (said,) = re.findall(rf"^\| `{name}(?:_total)?(?:\{{([\w,]*)\}})?`", page, re.MULTILINE)
            assert labels == set(filter(None, said.split(","))), name


@pytest.mark.parametrize("page", [PAGE, PAGE.with_name("listener.md")], ids=["metrics", "listener"])
def test_the_settings_named_on_the_page_are_there(page):
    from serving.settings import Settings, environment_name

    known = {environment_name(knob) for knob in Settings.__dataclass_fields__}
    assert set(re.findall(r"EPM_[A-Z_]+", page.read_text("utf-8"))) <= known


def test_the_page_of_the_listener_has_the_defaults():
    from serving.settings import Settings

    said = re.findall(
        r"^\| `EPM_([A-Z_]+)` \| ([^|]+) \|", PAGE.with_name("listener.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(said) > 5
    for name, default in said:
        value = getattr(Settings(), name.lower())
        words = {f"`{value}`", f"{value}", f"{value:g}" if isinstance(value, float) else ""}
        if isinstance(value, int):
            words.add(f"{value >> 20} MiB")
        assert default in words, name


def test_each_stage_that_a_call_came_through_is_timed(store_gateway):
    before = scrape(store_gateway)
    for number in range(3):
        post(store_gateway, "/v1/models/small:predict", {"instances": [{"hours": 30.0 + number}]})
    after = scrape(store_gateway)

    def more(name, **labels):
        return total(after, name, **labels) - total(before, name, **labels)

    model = {"model": "small", "version": "2"}
    for stage in ("decode", "features", "cache", "queue", "backend", "encode"):
        assert more("epm_stage_duration_seconds_count", stage=stage, **model) == 3, stage
    assert more("epm_stage_duration_seconds_count", stage="store") == 0
    assert more("epm_request_duration_seconds_count", size="small", protocol="rest_tf", **model) == 3
    stages, whole = more("epm_stage_duration_seconds_sum"), more("epm_request_duration_seconds_sum", **model)
    assert stages == pytest.approx(whole, rel=1e-6)
    assert more("epm_batch_rows_count", **model) == 3


def test_how_long_a_caller_takes_to_send_is_not_counted(small):
    body = json.dumps({"instances": [ROW]}).encode()
    head = f"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    host, port = small.http.split(":")
    before = scrape(small)
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(head.encode() + body[:1])
        assert until(lambda: sample(small, "epm_requests_in_flight", protocol="rest_tf") == 1)
        began = time.monotonic()
        time.sleep(2)
        paused = time.monotonic() - began
        slow.sendall(body[1:])
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")
    after = scrape(small)
    for name in ("epm_request_duration_seconds", "epm_stage_duration_seconds"):
        took = total(after, f"{name}_sum") - total(before, f"{name}_sum")
        assert 0 < took < paused, name


def test_a_deadline_that_passes_is_told_from_a_caller_that_leaves(small_repository):
    """The first is the gateway's failure, which alerts count, the second is not."""
    command = [sys.executable, "-m", "tests.support.slow_gateway", "30000", f"--model-repo={small_repository}"]
    with subprocess.Popen([*command, "--grpc-port=0", "--http-port=0"], stdout=subprocess.PIPE, text=True) as process:
        ports = dict(part.split("=", 1) for part in process.stdout.readline().split()[1:])
        slow = Running(ports["grpc"], ports["http"], process, [])
        try:
            with grpc.insecure_channel(slow.grpc) as channel:
                _cut_off_calls(slow, prediction_pb2_grpc.PredictionServiceStub(channel))
        finally:
            process.kill()


def _cut_off_calls(slow, stub):
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    late = [stub.Predict.future(request, timeout=seconds) for seconds in (4.001, 5)]  # the first is announced as 4.01
    late += [stub.StreamPredict(iter([request]), timeout=seconds) for seconds in (4.001, 5)]
    assert [call.code() for call in late] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 4
    leaving = [stub.Predict.future(request, timeout=600), stub.Predict.future(request)]
    leaving.append(stub.StreamPredict(iter([request]), timeout=600))
    assert until(lambda: sample(slow, "epm_requests_in_flight") == 3)
    for call in leaving:
        call.cancel()
    assert until(lambda: sample(slow, "epm_requests_in_flight") == 0)
    samples = scrape(slow)
    for method, left in (("Predict", 2), ("StreamPredict", 1)):
        assert total(samples, "epm_requests_total", method=method, status="DEADLINE_EXCEEDED") == 2
        assert total(samples, "epm_requests_total", method=method, status="CANCELLED") == left


def test_no_name_that_a_caller_makes_up_becomes_a_label(small):
    channel = grpc.insecure_channel(small.grpc)
    stub = prediction_pb2_grpc.PredictionServiceStub(channel)
    for number in range(20):
        with pytest.raises(grpc.RpcError):
            stub.Predict(v1.PredictRequest(model=v1.ModelRef(name=f"made-up-{number}")), timeout=10)
        with pytest.raises(urllib.error.HTTPError):
            post(small, f"/v1/models/made-up-{number}:predict", {"instances": [{f"made-up-{number}": 1}]})
        with pytest.raises(urllib.error.HTTPError):
            post(small, f"/made-up-{number}", {})
        with pytest.raises(urllib.error.HTTPError):
            post(small, "/v1/models/small:predict", {"instances": [{f"made-up-{number}": 1}]})
    channel.close()
    text = read(small)
    assert "made-up" not in text
    assert sample(small, "epm_requests_total", model="", status="NOT_FOUND") >= 40


def test_versions_are_told_by_their_state(tmp_path):
    write_version(tmp_path, "small", 1)
    broken = write_version(tmp_path, "small", 2)
    (broken / "model.onnx").write_bytes(b"not a model")
    with gateway(tmp_path) as running:
        samples = scrape(running)
        assert total(samples, "epm_model_versions", model="small", version="1", state="served") == 1
        assert total(samples, "epm_model_versions", model="small", version="2", state="refused") == 1
        assert total(samples, "epm_models_served") == 1
        assert total(samples, "epm_ready") == 1


def test_kernels_that_were_read_are_told_from_those_that_were_compiled(small):
    assert (
        sample(small, "epm_jit_kernels_total", source="kept")
        + sample(small, "epm_jit_kernels_total", source="compiled")
        > 5
    )


def test_a_gateway_without_metrics_answers_and_says_so(small_repository):
    with gateway(small_repository, metrics="off") as running:
        assert post(running, "/v1/models/small:predict", {"instances": [ROW]})["predictions"]
        with pytest.raises(urllib.error.HTTPError) as raised:
            read(running)
        assert raised.value.code == 404
        assert "EPM_METRICS" in raised.value.read().decode()


def test_a_call_that_is_refused_is_no_longer_in_flight(small):
    with pytest.raises(urllib.error.HTTPError):
        post(small, "/v1/models/small:predict", {"instances": "nothing"})
    assert until(lambda: sample(small, "epm_requests_in_flight") == 0)


def test_promtool_finds_nothing_to_criticise(store_gateway):
    post(store_gateway, "/v1/models/small:predict", {"instances": [ROW]})
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=read(store_gateway), capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not [line for line in checked.stderr.splitlines() if line.startswith("epm_")], checked.stderr
