"""Which backends a version gets: where all of them are at servers, and where one on CUDA is not precise enough."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.backends.backend import InProcess, Tensors
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.contract import Contract
from serving.errors import BackendFailed, ContractError
from serving.repository.making import Making
from serving.repository.versions import load_version
from tests.support.models import write_version

pytestmark = pytest.mark.unit


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of a gateway, in a thread of its own."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


class Ending:
    """A backend whose proof is cancelled, as all tasks are when a gateway ends."""

    name = "triton"

    async def prove(self) -> None:
        raise asyncio.CancelledError


def test_a_proof_that_is_broken_off_because_the_gateway_ends_is_no_defect(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(BackendFailed, match="triton does not answer"):
        Making(loop=loop)._prove_one([Ending()])


class Wrong(OnnxRuntimeBackend):
    """Stands in for CUDA where there is none, and answers otherwise than the model."""

    device = "cuda"

    def run(self, tensors: Tensors) -> Tensors:
        return {name: values + values.dtype.type(1) for name, values in super().run(tensors).items()}


@dataclass(frozen=True)
class Imprecise(Making):
    """Makes the wrong one wherever it may choose the device."""

    def in_process(self, contract: Contract, model: bytes) -> dict[str, InProcess]:
        made = OnnxRuntimeBackend(model, 1)
        if self.device != "cpu":
            made.__class__, made.device = Wrong, "cuda"
        return {"onnxruntime": made}


def test_what_answers_otherwise_on_cuda_computes_on_the_cpu_where_that_may_be_chosen(tmp_path: Path) -> None:
    folder = write_version(tmp_path)
    assert load_version(folder, Imprecise(device="auto")).backend.device == "cpu"
    with pytest.raises(ContractError, match="onnxruntime: golden rows"):
        load_version(folder, Imprecise(device="cuda"))
