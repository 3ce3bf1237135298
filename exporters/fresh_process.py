"""Run functions in a Python process of their own.

TensorFlow numbers what it traces by a counter of the process, so a SavedModel has the same bytes twice only when each
is written by a fresh process; and the memory it takes is given back.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

# TensorFlow: errors only, sums in one order and on one thread, no search for accelerators.
_SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
}


class FreshProcess:
    """A process that starts with the first call and ends with the `with` block; calls share what was imported."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_settle)

    def call(self, function: Callable[_Given, _Result], *args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        """The result of `function`, a module's own; an exception of it is raised here."""
        return self.start(function, *args, **kwargs).result()

    def start(
        self, function: Callable[_Given, _Result], *args: _Given.args, **kwargs: _Given.kwargs
    ) -> Future[_Result]:
        """The same without waiting; calls are worked off in order."""
        return self._pool.submit(function, *args, **kwargs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()


def _settle() -> None:
    os.environ.update(_SETTINGS)
