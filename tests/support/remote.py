"""Remote backends under test: tended as the gateway tends them, with golden rows of the linear model."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np

from serving.backends.backend import Proof, Tensors
from serving.backends.remote.breaker import State
from serving.backends.remote.codec import Codec
from serving.backends.remote.remote import RemoteBackend
from serving.backends.remote.servers import Servers
from serving.backends.remote.triton import Triton
from serving.contract import Output
from serving.errors import ContractError
from tests.support.fake_model_servers import PROOF_ROWS
from tests.support.models import FEATURES, GRADE, contract, linear_outputs

TIMEOUT = 0.4
"""Seconds that these backends give a server."""


def rows(count: int, seed: int = 0) -> Tensors:
    """Ready tensors of some rows, which are not those of the proof."""
    values = np.random.default_rng([count, seed]).normal(size=(count, len(FEATURES)))
    return {"features": values.astype(np.float32)}


def proof(outputs: tuple[Output, ...] = GRADE) -> Proof:
    """Golden rows of the artifact drawn from seed 0."""
    golden = rows(PROOF_ROWS, 1)
    expected = linear_outputs(golden["features"], outputs, 0)

    def check(got: Tensors) -> None:
        for name, values in expected.items():
            if not np.allclose(got[name], values, rtol=0, atol=1e-5):
                raise ContractError(f"golden rows: output {name} is not the trained model's")

    return Proof(golden, check)


def is_right(tensors: Tensors, answers: Tensors, outputs: tuple[Output, ...] = GRADE) -> bool:
    """Whether these are the answers of the artifact drawn from seed 0."""
    expected = linear_outputs(tensors["features"], outputs, 0)
    return all(
        answers[name].shape == values.shape and np.allclose(answers[name], values, rtol=0, atol=1e-5)
        for name, values in expected.items()
    )


def make(
    servers: Servers, protocol: Codec, timeout: float = TIMEOUT, outputs: tuple[Output, ...] = GRADE
) -> RemoteBackend:
    promised = contract("small", outputs).graph_outputs()
    return RemoteBackend(protocol, servers, "small", 1, promised, proof(outputs), timeout)


@contextlib.asynccontextmanager
async def tended(*backends: RemoteBackend) -> AsyncIterator[None]:
    """What the gateway does, rather more often."""

    async def tend() -> None:
        while True:
            for backend in backends:
                backend.tend()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(tend())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()


@contextlib.asynccontextmanager
async def asking(
    *addresses: str, protocol: Codec | None = None, seconds: float = TIMEOUT, outputs: tuple[Output, ...] = GRADE
) -> AsyncIterator[RemoteBackend]:
    """A backend on these addresses, tended, and closed at the end."""
    servers = Servers(",".join(addresses))
    backend = make(servers, protocol or Triton(), seconds, outputs)
    async with tended(backend):
        yield backend
        await servers.close()


async def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds. Fails when it never does."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        await asyncio.sleep(0.01)


async def outcome(call: Awaitable[Tensors]) -> object:
    """What a call gives, or the error it raises."""
    try:
        return await call
    except Exception as error:
        return error


async def all_closed(backend: RemoteBackend, count: int) -> None:
    """Wait until so many addresses are asked, and there are no others."""
    await eventually(lambda: [state.state for state in backend.states()] == [State.CLOSED] * count)
