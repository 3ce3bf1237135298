"""The servers of the study while they run: gateways with either listener, and Triton; all held to one processor."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest import servers
from loadtest.bench.load import Work, first_answer
from loadtest.bench.peer import Peer, Running, Setting, temporary_folder
from loadtest.bench.peers import triton
from loadtest.bench.process_tree import ProcessTree
from loadtest.listener.gateways import gateway


@dataclass(frozen=True)
class Side:
    """A server that answers. seconds: from the start of its process until it said so."""

    name: str
    address: str
    tree: ProcessTree
    pinned: bool
    seconds: float


@contextmanager
def gateway_side(
    repository: Path,
    listener: str,
    cpu: int | None = servers.SERVER_CPU,
    more: Sequence[str] = (),
    kernels: Path | None = None,
) -> Iterator[Side]:
    """A gateway, cache off. kernels: a folder of compiled kernels other than that of this process."""
    began = time.monotonic()
    with _kernels(kernels), gateway(repository, listener, cpu, "off", more) as server:
        yield Side(listener, server.address, ProcessTree(server.pid), server.pinned, time.monotonic() - began)


@contextmanager
def triton_side(repository: Path, models: tuple[str, ...], environments: Path, probe: Work) -> Iterator[Side]:
    """Triton with these models. Raises ServerError where it is not installed."""
    peer: Peer = triton.PEER
    environment = peer.installed(environments)
    with temporary_folder(peer.name) as name:
        folder = Path(name)
        for model in models:
            shutil.copytree(repository / model, folder / "model_repo" / model)
        setting = Setting(folder / "model_repo", models, environment, folder)
        with Running(peer, setting, first_answer(probe), "grpc", servers.SERVER_CPU) as running:
            yield Side("triton", running.address(), running.tree, running.pinned, running.seconds)


@contextmanager
def _kernels(folder: Path | None) -> Iterator[None]:
    """What is started meanwhile keeps its compiled kernels there."""
    before = os.environ.get("EPM_JIT_CACHE_DIR")
    if folder is not None:
        os.environ["EPM_JIT_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        if folder is not None:
            os.environ.pop("EPM_JIT_CACHE_DIR")
            if before is not None:
                os.environ["EPM_JIT_CACHE_DIR"] = before
