"""What a server of the side-by-side benchmark is: where it is installed, how it starts, in which ways it is asked.

A peer says how to start one server (`Launch`) that answers predictions of the published graph in one or more `Wire`s.
Each wire is a row of the tables. Nothing here knows any particular server; those stand in `loadtest/bench/peers/`.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from loadtest.answers import Probabilities, WrongAnswerError
from loadtest.bench.process_tree import ProcessTree, Usage
from loadtest.rows import Columns
from loadtest.servers import ServerError

ENVIRONMENTS = Path("build/bench-envs")
PATIENCE_TO_START, PATIENCE_TO_STOP = 150.0, 10.0
"""Seconds. A gateway that has no compiled kernels yet takes the most to start."""
SAME = 1e-5
"""How far a probability may be from onnxruntime's for the same row."""


@dataclass(frozen=True)
class Rows:
    """The rows of one call, in both forms: raw by name, and as the graph takes them, float32[n, F]."""

    columns: Columns
    features: NDArray[np.float32]


@dataclass(frozen=True)
class Wire:
    """One way of asking a peer.

    transport: `grpc` (loadtest.h2) or `http` (loadtest.h1). path: `{model}` in it stands for the model's name.
    encode: (model, rows) -> a request message or HTTP body. check: (request, answer, expected float32[n, C]) -> the
    largest difference; raises WrongAnswerError for what is no such answer.
    """

    name: str
    transport: str
    path: str
    encode: Callable[[str, Rows], bytes]
    check: Callable[[bytes, bytes, Probabilities], float]
    title: str = ""
    """After the peer's in the tables, where the peer has several."""
    predicts: bool = True
    """False for a call that predicts nothing (an echo, an empty call): it is no competitor."""
    rowless: bool = False
    """True for a call whose request is always the same: measured once, whatever the number of rows."""


@dataclass(frozen=True)
class Setting:
    """For what and where a peer is started.

    model_repo: laid out as the repository's `model_repo/`. models: names of models in it, each served in its newest
    version. environment: the folder of its Python environment. folder: a temporary one for whatever it writes.
    """

    model_repo: Path
    models: tuple[str, ...]
    environment: Path
    folder: Path
    workers: int = 1

    @property
    def python(self) -> str:
        """The interpreter of the peer's environment."""
        return str((self.environment / "bin" / "python").absolute())

    def graph(self, model: str) -> Path:
        """model.onnx of the newest version."""
        versions = [path for path in (self.model_repo / model).iterdir() if path.name.isdecimal()]
        return (max(versions, key=lambda path: int(path.name)) / "model.onnx").absolute()


@dataclass(frozen=True)
class Launch:
    """A command that starts the server. variables: environment variables beside those of this process.

    addresses: HOST:PORT by transport. handled: predictions answered, by the server's own count, where it has one.
    clean: called when all its processes have ended.
    """

    command: Sequence[str]
    addresses: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    handled: Callable[[], int] | None = None
    clean: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Peer:
    """A server of the benchmark.

    environment: its folder below the folder of environments; None for this project's own. note: what the reader has
    to know of how it was set up, a sentence for the page.
    """

    name: str
    title: str
    note: str
    launch: Callable[[Setting], Launch]
    wires: tuple[Wire, ...]
    environment: str | None = None
    versions: tuple[str, ...] = ()
    """Distributions of its environment whose versions the page names."""
    setup: str = ""
    """How it is set up, in a few words, where `alternatives` are the same server set up otherwise."""
    alternatives: tuple["Peer", ...] = ()
    """The fastest of this and these at one row a call is compared."""

    def installed(self, environments: Path) -> Path:
        """Its environment. Raises ServerError when it is not there."""
        if self.environment is None:
            return Path(sys.prefix)
        folder = environments.absolute() / self.environment
        if not (folder / "bin" / "python").exists() or not (folder / ".ready").exists():
            raise ServerError("not installed: run `make bench-envs`")
        return folder

    def installed_versions(self, environments: Path) -> dict[str, str]:
        """Of the distributions that the page names. Raises ServerError when the environment is not there."""
        packages = [str(path) for path in self.installed(environments).glob("lib/python3.*/site-packages")]
        return {name: found.version for name in self.versions for found in distributions(name=name, path=packages)}


Probe = Callable[[str], bool]
"""Asks one thing at an address: True for the right answer, False while there is none; raises WrongAnswerError."""


class Running:
    """A peer that has given its first right answer; use it in `with`.

    probe, transport: what asks it, and at which of its addresses. cpu: the processor that all its processes and threads
    are held to from their first moment, None for any. seconds: from the start of the process to the first right answer.
    Raises ServerError with the end of its log when there is no answer within `patience` seconds.
    """

    def __init__(
        self,
        peer: Peer,
        setting: Setting,
        probe: Probe,
        transport: str = "grpc",
        cpu: int | None = None,
        patience: float = PATIENCE_TO_START,
    ) -> None:
        self.peer = peer
        self._launch = peer.launch(setting)
        self._log = setting.folder / f"{peer.name}.log"
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                list(self._launch.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=setting.folder,
                env=os.environ | self._launch.variables,
                start_new_session=True,
                preexec_fn=None if cpu is None else lambda: _hold(cpu),
            )
        self.tree = ProcessTree(self._process.pid)
        try:
            self._wait(probe, self.address(transport), began + patience)
            self.seconds = time.monotonic() - began
            self.pinned = cpu is not None and all(os.sched_getaffinity(pid) == {cpu} for pid in self.tree.pids())
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    def address(self, transport: str = "grpc") -> str:
        """HOST:PORT."""
        return self._launch.addresses[transport]

    def usage(self) -> Usage:
        """Of all its processes. Raises ServerError when the first has ended."""
        if self._process.poll() is not None:
            raise ServerError(f"{self.peer.title} ended with {self._process.returncode}: {self.last_words()}")
        return self.tree.usage()

    def handled(self) -> int | None:
        """Predictions it has answered, by its own count; None for a server without one."""
        return self._launch.handled() if self._launch.handled else None

    def last_words(self) -> str:
        """The last line of its log that says anything."""
        lines = [line.strip() for line in self._log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it wrote nothing"

    def stop(self) -> None:
        """End all its processes, by their ids."""
        with ExitStack() as last:
            last.callback(self._launch.clean)
            last.callback(self.tree.end, 0)  # whatever happens meanwhile
            until = time.monotonic() + PATIENCE_TO_STOP
            self._process.terminate()
            while self._process.poll() is None and time.monotonic() < until:
                self.tree.pids()  # those it starts while it ends belong to it as well
                time.sleep(0.02)
            self.tree.end(0)
            self._process.wait(PATIENCE_TO_STOP)

    def _wait(self, probe: Probe, address: str, until: float) -> None:
        while not probe(address):
            if self._process.poll() is not None:
                raise ServerError(f"ended with {self._process.returncode} before it answered: {self.last_words()}")
            if time.monotonic() > until:
                raise ServerError(f"gave no answer within its time to start: {self.last_words()}")
            time.sleep(0.01)

    def __enter__(self) -> "Running":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()


def predictions(decode: Callable[[bytes, int], Probabilities]) -> Callable[[bytes, bytes, Probabilities], float]:
    """The `check` of a wire from what reads its answers: (answer, rows) -> float32[rows, C]."""

    def check(_: bytes, answer: bytes, expected: Probabilities) -> float:
        found = decode(answer, len(expected))
        if found.shape != expected.shape:
            raise WrongAnswerError(f"probabilities of shape {found.shape}, expected {expected.shape}")
        largest = float(np.abs(found - expected).max())
        if not largest <= SAME:
            raise WrongAnswerError(
                f"probabilities differ from onnxruntime's by {largest:.2g}, at most {SAME:g} allowed"
            )
        return largest

    return check


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now, all different."""
    with ExitStack() as opened:
        listeners = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


def temporary_folder(name: str) -> "tempfile.TemporaryDirectory[str]":
    """For a setting."""
    return tempfile.TemporaryDirectory(prefix=f"epm-bench-{name}-")


def _hold(cpu: int) -> None:
    """Called in the child before it becomes the server, so that all its children and threads inherit it."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return
