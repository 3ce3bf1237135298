"""A real Triton is killed, paused, or comes back with another artifact, while callers ask a gateway for its models."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import numpy_helper
from tritonclient.utils import InferenceServerException

from tests.conftest import MODEL_REPO
from tests.support.gateways import Running, gateway
from tests.support.load import OK, Call, Caller, Connection, Load, Rows, failed, wrong
from tests.support.metrics import sample, until
from tests.support.triton import TritonServer

pytestmark = [pytest.mark.faults, pytest.mark.alone]

BACKED, ALONE = "attrition_model", "performance_model"
"""The first has onnxruntime behind Triton, the second has nothing."""
BACKENDS = f"onnxruntime;{BACKED}=triton,onnxruntime;{ALONE}=triton"
TIMEOUT = 2.5
SLACK = 3.0
"""Seconds that a call may take beyond what it should: two processors are shared with all other tests."""
SHORT = 2.3
"""Less than the timeout."""
UNAVAILABLE, TOO_LATE = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
STUMBLED = ("Traceback", "defect", "never retrieved", "never awaited", "CancelledError")


@dataclass
class Place:
    """A gateway and its Triton."""

    triton: TritonServer
    at: Running
    backed: Rows
    alone: Rows

    def callers(self) -> list[Caller]:
        """Of both models, with a deadline and without, also for more rows than go into a batch."""
        return [
            Caller("backed", self.backed),
            Caller("backed", self.backed),
            Caller("backed", self.backed, most=600, pause=0.05),
            Caller("backed hasty", self.backed, SHORT),
            Caller("alone", self.alone, pause=0.005),
            Caller("alone", self.alone, most=600, pause=0.02),
            Caller("alone hasty", self.alone, SHORT, pause=0.005),
        ]

    def closed(self, model: str) -> int:
        return int(sample(self.at, "epm_backend_addresses", model=model, state="closed"))

    def go_on(self, load: Load) -> float:
        """Let a paused Triton go on; when all were answered again.

        It may break at that, and is then started again: its Python backend's locks have a timeout (`lock_exception`).
        """
        self.triton.resume()
        since = time.monotonic()

        def is_well() -> bool:
            return all(
                len([call for call in load.of(name, since=since) if call.status is OK]) > 50
                for name in ("alone", "alone hasty", "backed", "backed hasty")
            ) and (self.closed(BACKED) == self.closed(ALONE) == 1)

        if not until(lambda: self.triton.has_ended or is_well(), 12) or self.triton.has_ended:
            assert self.triton.has_ended or not all(answers(self.triton, rows) for rows in (self.backed, self.alone))
            self.triton.kill()
            self.triton.start()
            assert until(is_well, 20), load.counts(since)
        return time.monotonic()

    def recover(self) -> float:
        """When Triton was asked for both models again."""
        assert until(lambda: self.closed(BACKED) == self.closed(ALONE) == 1, 15), "".join(self.at.log)
        return time.monotonic()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    options = {"backends": BACKENDS, "cache": "off", "backend_timeout_seconds": TIMEOUT}
    with TritonServer(MODEL_REPO) as server, gateway(MODEL_REPO, triton_address=server.grpc, **options) as at:
        found = Place(server, at, Rows(BACKED), Rows(ALONE))
        found.recover()
        yield found
    log = "".join(at.log)
    assert [word for word in STUMBLED if word in log] == [], log[-3000:]


def answers(server: TritonServer, rows: Rows) -> bool:
    """Whether a Triton answers one row, asked by its own client."""
    inputs = [
        triton.InferInput(name, [1, *values.shape[1:]], "FP32").set_data_from_numpy(values[:1])
        for name, values in rows.tensors.items()
    ]
    with server.client() as client, contextlib.suppress(InferenceServerException):
        return client.infer(rows.model, inputs, client_timeout=5) is not None
    return False


def check_told(calls: list[Call], server: TritonServer) -> None:
    """No reason names a server."""
    told = {call.details for call in calls}
    assert not [text for text in told if "127.0.0.1" in text or str(server.grpc_port) in text], told


def test_killed_under_load_and_started_again(place: Place) -> None:
    with Load(place.at, place.callers()) as load:
        load.more(50, "backed", "backed hasty", "alone", "alone hasty")
        killed = time.monotonic()
        place.triton.kill()
        load.more(100, "backed", "backed hasty")
        time.sleep(0.5)
        place.triton.start()
        back = place.recover()
        load.more(50, "backed", "backed hasty", "alone", "alone hasty")
    assert not wrong(load.calls)
    assert not failed(load.of("backed", "backed hasty"))
    missed = failed(load.of("alone", "alone hasty"))
    assert {call.status for call in missed} == {UNAVAILABLE}
    assert not [call for call in missed if call.ended < killed or call.sent > back]
    assert max(call.seconds for call in load.calls) < SLACK
    assert [call for call in load.calls if call.sent < killed < call.ended], "none was in flight"
    check_told(missed, place.triton)


def test_standing_still_under_load_and_going_on(place: Place) -> None:
    with Load(place.at, place.callers()) as load:
        load.more(50, "backed", "backed hasty", "alone", "alone hasty")
        paused = time.monotonic()
        place.triton.pause()
        try:
            assert until(lambda: place.closed(BACKED) == place.closed(ALONE) == 0, 10)
            opened = time.monotonic()
            load.more(50, "backed", "backed hasty")
            time.sleep(0.5)
            resumed = time.monotonic()
        finally:
            back = place.go_on(load)
    assert not wrong(load.calls)
    assert not failed(load.of("backed", "backed hasty"))
    missed = failed(load.of("alone", "alone hasty"))
    assert {call.status for call in missed} == {UNAVAILABLE, TOO_LATE}
    assert not [call for call in missed if call.ended < paused or call.sent > back]
    assert max(call.seconds for call in load.of("alone hasty", "backed hasty")) < SHORT + SLACK
    assert max(call.seconds for call in load.calls) < 2 * TIMEOUT + SLACK
    quick = load.of(since=opened, until=resumed)
    assert {call.status for call in failed(quick)} == {UNAVAILABLE}
    assert np.median([call.seconds for call in quick]) < TIMEOUT / 4
    check_told(missed, place.triton)


def tamper(repository: Path, into: Path) -> Path:
    """A copy whose graphs answer a little otherwise under the same version numbers."""
    shutil.copytree(repository, into)
    for path in into.glob("*/1/model.onnx"):
        model = onnx.load(path)
        (shift,) = (constant for constant in model.graph.initializer if constant.name == "shift")
        values = numpy_helper.to_array(shift)
        shift.CopyFrom(
            numpy_helper.from_array(values + 0.05 * np.arange(1, len(values) + 1, dtype=np.float32), "shift")
        )
        onnx.save(model, path)
    return into


def test_back_with_another_artifact_under_the_same_number(place: Place, tmp_path: Path) -> None:
    """Nobody asks while it is away: nothing but its connection tells that it was."""
    right, other = place.triton.repository, tamper(MODEL_REPO, tmp_path / "other")
    connection = Connection(place.at)
    place.triton.kill()
    place.triton.repository = other
    place.triton.start()
    try:
        with Load(place.at, place.callers()) as load:
            load.more(100, "backed", "backed hasty")
            assert until(lambda: sum("not the trained model's" in line for line in place.at.log) >= 2)
            assert place.closed(BACKED) == place.closed(ALONE) == 0
            time.sleep(0.5)
        assert not wrong(load.calls)
        assert not failed(load.of("backed", "backed hasty"))
        assert {call.status for call in load.of("alone", "alone hasty")} == {UNAVAILABLE}
        check_told(failed(load.calls), place.triton)
    finally:
        place.triton.kill()
        place.triton.repository = right
        place.triton.start()
    place.recover()
    for rows in (place.backed, place.alone):
        assert connection.ask(Caller("again", rows), 0, 8).right
    connection.close()


@pytest.fixture(scope="module")
def pair(place: Place) -> Iterator[tuple[Running, list[TritonServer]]]:
    """Another gateway, with two Tritons and nothing behind them."""
    with TritonServer(MODEL_REPO) as two:
        one = place.triton
        options = {"backends": f"onnxruntime;{ALONE}=triton", "cache": "off", "backend_timeout_seconds": TIMEOUT}
        with gateway(MODEL_REPO, triton_address=f"{one.grpc},{two.grpc}", **options) as at:
            assert until(lambda: sample(at, "epm_backend_addresses", state="closed") == 2)
            yield at, [one, two]
        log = "".join(at.log)
    assert [word for word in STUMBLED if word in log] == [], log[-3000:]


def answered(server: TritonServer) -> int:
    """Rows that a Triton has answered for the model without a stand-in."""
    with server.client() as client:
        (statistics,) = client.get_inference_statistics(ALONE).model_stats
    return int(statistics.inference_count)


def test_one_of_two_is_killed_or_stands_still_and_no_caller_notices(
    place: Place, pair: tuple[Running, list[TritonServer]]
) -> None:
    at, (one, two) = pair

    def closed(count: int) -> bool:
        return until(lambda: sample(at, "epm_backend_addresses", state="closed") == count, 15)

    rows = place.alone
    callers = [Caller("patient", rows), Caller("patient", rows), Caller("hasty", rows, SHORT)]
    with Load(at, callers) as load:
        load.more(50, "patient", "hasty")
        assert min(answered(one), answered(two)) > 100
        two.kill()
        load.more(100, "patient", "hasty")
        two.start()
        assert closed(2)
        before = answered(one), answered(two)
        load.more(50, "patient", "hasty")
        assert answered(one) > before[0]
        assert answered(two) > before[1]
        two.pause()
        assert closed(1)
        load.more(100, "patient", "hasty")
    assert not wrong(load.calls)
    assert not failed(load.calls)
    assert max(call.seconds for call in load.calls) < TIMEOUT + SLACK
