"""Which backends a version gets: those that its model is set up with, in order, each of them proven."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from serving.backends.backend import Backend, InProcess, Proof
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.contract import Contract
from serving.errors import BackendFailed, ContractError

log = logging.getLogger("epm.repository")

IN_PROCESS = ("forest", "onnxruntime")
DEFAULT = ("forest", "onnxruntime")

Remote = Callable[[Contract, int, Proof], Any]
"""Makes the backend at a server for a version: contract, version, golden rows."""


@dataclass(frozen=True)
class Making:
    """How backends are made. The defaults are those of a gateway without settings."""

    order: Callable[[str], tuple[str, ...]] = lambda model: DEFAULT
    """The names of a model's backends, in order."""
    shadow: Callable[[str], str] = lambda model: ""
    """The name of a model's shadow backend, empty where it has none."""
    threads: int = 1
    device: str = "cpu"
    remote: Mapping[str, Remote] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop | None = None
    """Where remote backends live."""
    prove_seconds: float = 5.0

    def in_process(self, contract: Contract, model: bytes) -> dict[str, InProcess]:
        """The backends in this process that the model is to have, by name, not proven yet.

        A graph that `forest` does not support goes to onnxruntime. Raises ContractError.
        """
        from serving.backends.forest import ForestBackend, Unsupported

        names = [name for name in self.order(contract.model) if name in IN_PROCESS]
        made: dict[str, InProcess] = {}
        for name in names:
            if name == "onnxruntime":
                made[name] = OnnxRuntimeBackend(model, self.threads, self.device)
                continue
            try:
                made[name] = ForestBackend(model, contract.graph_outputs())
            except Unsupported as reason:
                log.info("model %s: forest does not support it, onnxruntime does: %s", contract.model, reason.message)
                if "onnxruntime" not in names:
                    made["onnxruntime"] = OnnxRuntimeBackend(model, self.threads, self.device)
        return made

    def ordered(self, contract: Contract, version: int, made: Mapping[str, InProcess], proof: Proof) -> list[Backend]:
        """All backends in order, once those in this process are proven.

        Where there is none of them, one at a server has to prove itself now. Raises ContractError, BackendFailed.
        """
        found: list[Backend] = []
        for name in self.order(contract.model):
            if name in IN_PROCESS:
                backend: Backend | None = made.get(name) or made.get("onnxruntime")
            else:
                backend = self.remote[name](contract, version, proof)
            if backend is not None and backend not in found:
                found.append(backend)
        if not made:
            self._prove_one(found)
        return found

    def shadowing(self, contract: Contract, version: int, model: bytes, proof: Proof) -> Backend | None:
        """The shadow backend, which nobody depends on: where it cannot be made there is none, and in this process it is
        not proven. At a server it is, like any other: what answers the golden rows wrongly is not asked for others.
        """
        name = self.shadow(contract.model)
        if not name:
            return None
        if name not in IN_PROCESS:
            return self.remote[name](contract, version, proof)
        alone = Making(order=lambda model: (name,), threads=self.threads, device=self.device)
        try:
            return next(iter(alone.in_process(contract, model).values()))
        except ContractError as error:
            log.error("model %s version %d has no shadow backend: %s", contract.model, version, error.message)
            return None

    def _prove_one(self, backends: list[Any]) -> None:
        assert self.loop is not None  # noqa: S101 (remote backends are made with it)
        errors = []
        for backend in backends:
            proving = asyncio.run_coroutine_threadsafe(backend.prove(), self.loop)
            try:
                return proving.result(self.prove_seconds)
            except ContractError:
                errors.append(f"{backend.name} answers wrongly")
            except (BackendFailed, TimeoutError, CancelledError):  # the last: the gateway is leaving
                proving.cancel()
                errors.append(f"{backend.name} does not answer")
        raise BackendFailed(f"no backend has proven itself: {', '.join(errors)}")  # addresses stand in the log
