"""What executes one version of one model, wherever it runs."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import ContractError, TooLate

Tensors = Mapping[str, NDArray[Any]]
"""The graph's inputs by name, float32[n, ...], n the same in all of them; or its outputs, [n, ...]."""

Promised = Mapping[str, tuple[str, tuple[int, ...]]]
"""Outputs by name: their type, and their shape without n (`Contract.graph_outputs`)."""


class Backend(ABC):
    """One version of one model, ready to be asked. May be asked again while it answers."""

    name: str
    """As settings, metrics and logs call it: forest, onnxruntime, tf_serving, triton."""
    device: str = "cpu"
    """Where it computes: cpu, cuda, or the address of a server."""

    @property
    def unavailable(self) -> str:
        """Empty while it can be asked; otherwise why not, in words for an operator. Nothing of any row."""
        return ""

    @abstractmethod
    async def infer(self, tensors: Tensors, deadline: float | None) -> Tensors:
        """Outputs of n rows. deadline: as time.monotonic() counts, None for none.

        Raises TooLate when the deadline passes first; BackendRefused when it answers that it will not compute these
        rows; BackendFailed when it does not answer, or wrongly: another backend may.
        """


class InProcess(Backend):
    """A backend whose work is done in this process, by whoever calls it."""

    inputs: Mapping[str, tuple[Any, ...]]
    """The graph's inputs by name: their shapes, n first."""
    workers: Executor | None = None
    """Where `infer` runs; None: the event loop's default threads."""

    @abstractmethod
    def run(self, tensors: Tensors) -> Tensors:
        """Outputs of n rows, at once. May be called from several threads. Raises BackendRefused."""

    async def infer(self, tensors: Tensors, deadline: float | None) -> Tensors:
        """As `run`, in a worker thread. A caller's deadline does not stop what has begun."""
        if deadline is not None and time.monotonic() >= deadline:
            raise TooLate("the deadline passed before work began")
        return await asyncio.get_running_loop().run_in_executor(self.workers, self.run, tensors)


@dataclass(frozen=True, repr=False)
class Proof:
    """Golden rows, by which a backend shows that it answers as the model did when it was trained."""

    tensors: Tensors
    """The graph's inputs for some golden rows."""
    check: Callable[[Tensors], None]
    """Given what a backend answers to them. Raises ContractError."""


def rows_of(tensors: Tensors) -> int:
    """n."""
    return len(next(iter(tensors.values())))


def check_promised(outputs: Tensors, promised: Promised, rows: int) -> None:
    """Every promised output is there, in its type and shape, a number in every place. Raises ContractError."""
    for name, (kind, shape) in promised.items():
        got = outputs.get(name)
        if got is None:
            raise ContractError(f"output {name}: there is none")
        if got.dtype != kind or got.shape != (rows, *shape):
            raise ContractError(
                f"output {name}: got {got.dtype}{list(got.shape)} for {rows} rows, "
                f"contract.json says {kind}{[rows, *shape]}"
            )
        if got.dtype.kind == "f" and not np.isfinite(got).all():
            raise ContractError(f"output {name} is no number in {int((~np.isfinite(got)).sum())} places")
