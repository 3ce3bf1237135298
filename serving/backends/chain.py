"""The backends of one version, in order: where one cannot answer, the next one is asked."""

import logging
import time
from collections.abc import Callable, Sequence

from serving.backends.backend import Backend, InProcess, Tensors, rows_of
from serving.backends.patience import Patience
from serving.errors import BackendFailed, BackendRefused, EpmError, RowsRefused, TooLate

log = logging.getLogger("epm.backends")

_WORDS = {"late": "is too slow", "refused": "refuses these rows", "failed": "is not available"}

Observe = Callable[[Backend, str, int, float], None]
"""After each answer of a backend: its outcome (ok, failed, refused, late), rows, seconds."""


class Chain:
    """Asks backends in order. One that is unavailable is passed over without waiting for it, if others are not."""

    def __init__(self, backends: Sequence[Backend], observe: Observe = lambda *_: None) -> None:
        self.backends = tuple(backends)
        self._observe = observe
        self._patience = [Patience() for _ in self.backends]
        self._in_process = [backend for backend in self.backends if isinstance(backend, InProcess)]
        self._always_here = len(self._in_process) == len(self.backends)

    @property
    def here(self) -> bool:
        """Whether all backends that would be asked now compute in this process."""
        if self._always_here:
            return True
        asked = [backend for backend in self.backends if isinstance(backend, InProcess) or not backend.unavailable]
        return bool(asked) and asked == self._in_process

    def run(self, tensors: Tensors) -> Tensors:
        """Outputs of n rows, computed now by the backends in this process. Raises as `infer`."""
        failures: list[EpmError] = []
        for backend in self._in_process:
            began = time.perf_counter()
            try:
                outputs = backend.run(tensors)
            except BackendFailed as error:
                self._observe(backend, _outcome(error), rows_of(tensors), time.perf_counter() - began)
                failures.append(error)
                continue
            self._observe(backend, "ok", rows_of(tensors), time.perf_counter() - began)
            return outputs
        raise _all_failed([backend.name for backend in self._in_process], failures)

    async def infer(self, tensors: Tensors, deadline: float | None) -> Tensors:
        """Outputs of n rows from the first backend that gives them.

        A backend that others could stand in for gets half of what is left of the deadline, and not much more than what
        it usually takes (`Patience`), so that they have the rest. Raises TooLate; RowsRefused when all refuse,
        BackendRefused when one does and none answers; BackendFailed with each one's reason.
        """
        failures: list[EpmError] = []
        nobody = all(backend.unavailable for backend in self.backends)  # then they are asked: one may be proving itself
        for number, backend in enumerate(self.backends):
            if backend.unavailable and not nobody:
                failures.append(BackendFailed("not available"))
                continue
            began, now = time.perf_counter(), time.monotonic()
            if deadline is not None and now >= deadline:
                raise TooLate("the deadline passed before work began")
            others = any(not other.unavailable for other in self.backends[number + 1 :])
            patience = self._patience[number]
            until = patience.until(deadline, now) if others else deadline
            try:
                outputs = await backend.infer(tensors, until)
            except (BackendFailed, TooLate) as error:
                self._observe(backend, _outcome(error), rows_of(tensors), time.perf_counter() - began)
                if isinstance(error, TooLate):
                    if not others:
                        raise
                    patience.in_vain(time.monotonic() - now)
                log.debug("%s: %s", backend.name, error.message)
                failures.append(error)
                continue
            self._observe(backend, "ok", rows_of(tensors), time.perf_counter() - began)
            patience.answered(time.monotonic() - now)
            return outputs
        raise _all_failed([backend.name for backend in self.backends], failures)


def _all_failed(names: Sequence[str], failures: Sequence[EpmError]) -> BackendFailed:
    """What a caller is told: how each backend failed, but no address and no word of a server."""
    how = [f"{name} {_WORDS[_outcome(error)]}" for name, error in zip(names, failures, strict=True)]
    refuse = [isinstance(error, BackendRefused) for error in failures]
    kind = RowsRefused if all(refuse) else BackendRefused if any(refuse) else BackendFailed
    return kind(f"no backend answers: {', '.join(how)}")


def _outcome(error: EpmError) -> str:
    match error:
        case TooLate():
            return "late"
        case BackendRefused():
            return "refused"
    return "failed"
