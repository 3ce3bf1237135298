"""The way through: inputs -> features -> backend -> prediction. Every protocol asks here, and nowhere else."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract import CategoryInput
from serving.errors import Overloaded, TooLate
from serving.features.rows import Cells, Inspection
from serving.repository.repository import Repository
from serving.repository.served import ServedModel
from serving.settings import Settings

Inputs = Mapping[str, Cells]
"""A batch of n rows: raw columns by name, or the graph's own tensors by name; never both."""


class WarningCode(StrEnum):
    """What a reader of an answer should know about a row."""

    LOW_COVERAGE = "low_coverage"
    UNKNOWN_CATEGORY = "unknown_category"
    OUT_OF_TRAINING_RANGE = "out_of_training_range"


@dataclass(frozen=True, slots=True)
class RowWarning:
    """One warning about some rows; `column` is empty when it is about the whole row. rows: int64[k], ascending."""

    code: WarningCode
    column: str
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for n rows.

    tensors: the graph's outputs, [n, ...]; margin: float32[n], None for a model without classes; coverage: float32[n],
    None when ready tensors came, as nothing is known of what they were made from.
    """

    served: ServedModel
    rows: int
    tensors: Mapping[str, NDArray[Any]]
    margin: NDArray[np.float32] | None
    coverage: NDArray[np.float32] | None
    warnings: tuple[RowWarning, ...]

    @property
    def margins(self) -> NDArray[np.float32]:
        """The margin of a model with classes."""
        assert self.margin is not None  # noqa: S101 (whoever asks has looked at the contract's outputs)
        return self.margin


class Pipeline:
    """Answers batches of rows. Lives on one event loop; large batches are computed in worker threads."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self.repository = repository
        self.rows_in_flight = 0
        self.draining = False
        self.max_rows = settings.max_rows
        self._settings = settings
        self._workers = ThreadPoolExecutor(settings.worker_threads, thread_name_prefix="epm-worker")

    @property
    def ready(self) -> bool:
        """Whether calls should be sent here: something is served, and the gateway is not shutting down."""
        return not self.draining and any(state.served for state in self.repository.models.values())

    async def predict(self, served: ServedModel, inputs: Inputs, deadline: float | None = None) -> Prediction:
        """Answer one batch.

        deadline: as `time.monotonic()` counts, None for none. Raises InvalidInput; TooLate, with nothing computed;
        Overloaded when too many rows are being answered already.
        """
        rows = _rows(inputs)
        if rows <= self._settings.inline_rows or rows > self.max_rows:  # quick, or quickly refused
            return self._compute(served, inputs, deadline)
        limit = self._settings.max_rows_in_flight
        if self.rows_in_flight + rows > limit:
            raise Overloaded(f"{self.rows_in_flight} rows are being answered, {rows} more would exceed {limit}")
        self.rows_in_flight += rows
        work = self._workers.submit(self._compute, served, inputs, deadline)
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: _on_loop(loop, self._finished, rows))
        return await asyncio.wrap_future(work)  # a cancelled call cancels work that has not begun

    def close(self) -> None:
        """Forget waiting work and let the threads end."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _finished(self, rows: int) -> None:
        self.rows_in_flight -= rows

    def _compute(self, served: ServedModel, inputs: Inputs, deadline: float | None) -> Prediction:
        if deadline is not None and time.monotonic() >= deadline:
            raise TooLate("the deadline passed before work began")
        coverage: NDArray[np.float32] | None = None
        warnings: tuple[RowWarning, ...] = ()
        if served.takes_ready(inputs):
            ready = served.check_ready(inputs, self.max_rows)
        else:
            raw = served.schema.assemble(inputs, self.max_rows)
            inspection = served.schema.inspect(raw)
            coverage = inspection.coverage
            warnings = _warnings(served, raw, inspection)
            ready = {served.features_input: served.program.run(raw)}
        rows = next(iter(ready.values())).shape[0]
        tensors = served.backend.run(ready)
        return Prediction(served, rows, tensors, served.margin(tensors), coverage, warnings)


def _rows(inputs: Inputs) -> int:
    """How many rows a batch claims to have; whether all inputs agree is checked later."""
    for cells in inputs.values():
        try:
            return len(cells)
        except TypeError:  # a tensor without dimensions
            return 0
    return 0


def _warnings(served: ServedModel, raw: NDArray[np.float64], inspection: Inspection) -> tuple[RowWarning, ...]:
    found = []
    low = inspection.coverage < served.contract.min_coverage
    if low.any():
        found.append(RowWarning(WarningCode.LOW_COVERAGE, "", np.flatnonzero(low)))
    if inspection.marks is not None:
        for number in np.flatnonzero(inspection.marks.any(axis=0)):
            column = served.contract.inputs[number]
            unknown = isinstance(column, CategoryInput)
            code = WarningCode.UNKNOWN_CATEGORY if unknown else WarningCode.OUT_OF_TRAINING_RANGE
            found.append(RowWarning(code, column.name, np.flatnonzero(inspection.marks[:, number])))
    return tuple(found)


def _on_loop(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *arguments)
