"""Models that only servers compute: the servers are not there yet, answer in another shape, or lack a new version."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from tests.conftest import MODEL_REPO
from tests.support.gateways import Running, gateway
from tests.support.load import OK, Call, Caller, Connection, Load, Rows, failed, wrong
from tests.support.metrics import sample, until
from tests.support.tf_serving_reference import TfServingReference
from tests.support.triton import TritonServer

pytestmark = pytest.mark.faults

BACKED, ALONE = "attrition_model", "performance_model"
STUMBLED = ("Traceback", "defect", "never retrieved", "never awaited", "CancelledError")
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def check(at: Running, failed: Sequence[Call], port: int) -> None:
    """Nobody was told where servers are, and the gateway has not stumbled."""
    told = {call.details for call in failed}
    assert not [text for text in told if "127.0.0.1" in text or str(port) in text], told
    log = "".join(at.log)
    assert [word for word in STUMBLED if word in log] == [], log[-3000:]


def is_ready(at: Running) -> bool:
    try:
        with urllib.request.urlopen(f"http://{at.http}/readyz", timeout=10) as response:
            return response.status == 200
    except urllib.error.HTTPError as error:
        return error.code != 503


def only(model: str, root: Path) -> Path:
    """A repository of that model alone."""
    shutil.copytree(MODEL_REPO / model, root / model)
    return root


def test_a_server_that_is_not_there_yet_and_one_that_lacks_a_new_version(tmp_path: Path) -> None:
    rows, here, there = Rows(ALONE), only(ALONE, tmp_path / "here"), only(ALONE, tmp_path / "there")
    config = there / ALONE / "config.pbtxt"
    config.write_text(config.read_text().replace("latest { num_versions: 1 }", "all { }"))
    triton = TritonServer(there, model_control_mode="poll", repository_poll_secs=1)
    options = {"backends": "triton", "triton_address": triton.grpc, "repository_poll_seconds": 0.3, "cache": "off"}
    with gateway(here, **options) as at:
        caller = Caller("any", rows, 10)
        connection = Connection(at)
        assert not is_ready(at)
        unanswered = [connection.ask(caller, 0, 4) for _ in range(5)]
        assert {call.status for call in unanswered} == {UNAVAILABLE}
        check(at, unanswered, triton.grpc_port)
        with triton:
            assert until(lambda: is_ready(at))
            with Load(at, [caller] * 3) as load:
                load.more(20)
                shutil.copytree(here / ALONE / "1", here / ALONE / "2")
                refused = f"model {ALONE} version 2 is refused"
                assert until(lambda: refused in "".join(at.log))
                load.more(50)
                unanswered.append(connection.ask(replace(caller, version=2), 0, 4))
                assert {call.version for call in load.calls if call.status is OK} == {1}
                shutil.copytree(here / ALONE / "1", tmp_path / "2")
                (tmp_path / "2").rename(there / ALONE / "2")
                assert until(lambda: load.of()[-1].version == 2, 15)
                load.more(20)
            assert connection.ask(replace(caller, version=2), 0, 4).right
        assert {call.status for call in unanswered} == {UNAVAILABLE}
        assert not failed(load.calls)
        assert not wrong(load.calls)
        assert sorted({call.version for call in load.calls}) == [1, 2]
        connection.close()
    check(at, unanswered, triton.grpc_port)


def test_a_server_is_waited_for_also_where_the_repository_is_looked_at_only_at_start(tmp_path: Path) -> None:
    here = only(ALONE, tmp_path / "here")
    triton = TritonServer(here)
    options = {"backends": "triton", "triton_address": triton.grpc, "repository_poll_seconds": 0}
    with gateway(here, **options) as at:
        assert not is_ready(at)
        with triton:
            assert until(lambda: is_ready(at), 30)


def test_a_server_that_answers_in_another_shape_is_not_believed_until_it_does_not() -> None:
    backed, alone = Caller("backed", Rows(BACKED)), Caller("alone", Rows(ALONE), pause=0.02)
    backends = f"onnxruntime;{BACKED}=tf_serving,onnxruntime;{ALONE}=tf_serving"
    server = TfServingReference(MODEL_REPO, models_config=MODEL_REPO / "models.config", wrong_shape=True)
    options = {"tf_serving_address": server.grpc, "repository_poll_seconds": 0.5, "cache": "off"}
    with server, gateway(MODEL_REPO, backends=backends, **options) as at:
        with Load(at, [backed, backed, alone]) as load:
            load.more(50, "backed")
            assert until(lambda: load.of("alone"))
            assert sample(at, "epm_backend_addresses", model=BACKED, state="closed") == 0
            for model in (BACKED, ALONE):
                reason = f"is not asked for {model} version 1: it answered wrongly: output"
                assert until(lambda reason=reason: reason in "".join(at.log)), "".join(at.log)
        server.kill()
        del server.options["wrong_shape"]
        server.start()
        assert until(lambda: sample(at, "epm_backend_addresses", state="closed") == 2, 20)
        with Load(at, [backed, alone]) as later:
            later.more(20, "alone", "backed")
    assert not wrong(load.calls + later.calls)
    assert not failed(load.of("backed") + later.calls)
    unanswered = load.of("alone")
    assert {call.status for call in unanswered} == {UNAVAILABLE}
    check(at, unanswered, server.grpc_port)
