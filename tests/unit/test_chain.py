"""Backends in order, by fakes that answer, fail or do not end as a test says."""

import asyncio
import time

import numpy as np
import pytest

from serving.backends import patience
from serving.backends.backend import Backend, Tensors
from serving.backends.chain import Chain
from serving.errors import BackendFailed, BackendRefused, RowsRefused, Status, TooLate

pytestmark = pytest.mark.unit

ROWS = {"features": np.zeros((2, 3), np.float32)}


class Fake(Backend):
    """Answers with its name; raises `error`; takes `seconds`, or the time there is."""

    def __init__(self, name: str, error: Exception | None = None, unavailable: str = "", seconds: float = 0.0) -> None:
        self.name, self.error, self.reason, self.seconds = name, error, unavailable, seconds
        self.asked = 0

    @property
    def unavailable(self) -> str:
        return self.reason

    async def infer(self, tensors: Tensors, deadline: float | None) -> Tensors:
        self.asked += 1
        left = self.seconds if deadline is None else min(self.seconds, deadline - time.monotonic())
        await asyncio.sleep(max(left, 0))
        if left < self.seconds:
            raise TooLate("no answer in time")
        if self.error is not None:
            raise self.error
        return {"by": np.array([self.name] * len(tensors["features"]))}


def answer(*backends: Backend, seconds: float | None = None) -> str:
    """Whose answer it is."""
    deadline = None if seconds is None else time.monotonic() + seconds
    return str(asyncio.run(Chain(backends).infer(ROWS, deadline))["by"][0])


def test_one_that_is_unavailable_is_passed_over_while_another_is_not() -> None:
    away = Fake("triton", unavailable="no connection")
    assert answer(away, Fake("onnxruntime")) == "onnxruntime"
    assert away.asked == 0


def test_where_none_is_available_they_are_asked_all_the_same() -> None:
    """One of them may be about to prove itself, and knows whether it is worth waiting."""
    assert answer(Fake("triton", unavailable="its connection was lost")) == "triton"
    away = [Fake(name, BackendFailed("canary"), unavailable="no connection") for name in ("triton", "tf_serving")]
    with pytest.raises(BackendFailed) as failed:
        answer(*away)
    assert failed.value.message == "no backend answers: triton is not available, tf_serving is not available"


@pytest.mark.parametrize("first", [BackendFailed("canary"), TooLate("canary")])
@pytest.mark.parametrize("unavailable", ["", "no connection"])
def test_rows_that_one_refuses_are_refused_though_the_other_could_not_be_asked(
    first: Exception, unavailable: str
) -> None:
    """So a batch is divided, and its other calls are answered."""
    with pytest.raises(BackendRefused, match=r"triton is .*, onnxruntime refuses these rows"):
        answer(Fake("triton", first, unavailable), Fake("onnxruntime", BackendRefused("canary")), seconds=5)


def test_a_call_without_a_deadline_does_not_wait_for_one_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LEAST_SECONDS", 0.02)
    first, second = Fake("triton"), Fake("onnxruntime")
    chain = Chain([first, second])

    async def run() -> None:
        assert (await chain.infer(ROWS, None))["by"][0] == "triton"
        first.seconds = 3600
        assert (await asyncio.wait_for(chain.infer(ROWS, None), 60))["by"][0] == "onnxruntime"
        second.error = BackendFailed("canary")
        with pytest.raises(BackendFailed, match="triton is too slow, onnxruntime is not available"):
            await asyncio.wait_for(chain.infer(ROWS, None), 60)

    asyncio.run(run())


def test_one_that_nobody_stands_in_for_has_all_the_time_there_is() -> None:
    slow = Fake("triton", seconds=0.05)
    assert answer(slow, Fake("onnxruntime", unavailable="no connection"), seconds=30) == "triton"
    slow.seconds = 3600
    with pytest.raises(TooLate):
        answer(slow, seconds=0.05)


def test_rows_that_all_refuse_are_the_callers_to_change() -> None:
    refusing = [Fake(name, BackendRefused("canary")) for name in ("triton", "onnxruntime")]
    with pytest.raises(RowsRefused, match="triton refuses these rows, onnxruntime refuses these rows") as refused:
        answer(*refusing, seconds=5)
    assert refused.value.status == Status.INVALID_ARGUMENT
