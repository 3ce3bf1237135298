"""The way through: inputs -> features -> inference -> prediction. Every protocol asks here, and nowhere else."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Tensors, rows_of
from serving.backends.batching import Priority
from serving.errors import EpmError, InvalidInput, NotFound, NotReady, Overloaded, PreconditionFailed, TooLate
from serving.features.rows import Cells, Inspection, MonthlyCells, RawRows, RowSchema
from serving.inference import Inferences, queue_limit
from serving.repository.repository import Repository
from serving.repository.served import ServedModel
from serving.settings import Settings
from serving.stages import DECODE, ENCODE, FEATURES, QUEUE, STORE, UNTIMED, Stopwatch
from serving.store.fetched import CORRUPT, FOUND, NOT_FOUND, UNAVAILABLE, Fetched
from serving.store.reader import CAME_AND_EXPECTED, FactRows

T = TypeVar("T")

Inputs = Mapping[str, Cells | MonthlyCells]
"""A batch of n rows: raw columns by name, or the graph's own tensors by name; never both."""


@dataclass(frozen=True, slots=True, repr=False)
class Entities:
    """n rows whose raw facts the online store holds."""

    entity_type: str
    ids: Sequence[str]
    present_month: int | None = None
    """The last month of all histories, in months since January 1970; None: the newest that is known of each."""
    called: str = "entities"
    """What they are called where they came from: errors name it."""


class Store(Protocol):
    """Where the facts of entities are."""

    async def fetch(self, entity_type: str, ids: Sequence[str], deadline: float | None) -> Fetched:
        """The record of each entity, or why there is none."""
        ...


States = Callable[[ServedModel, NDArray[np.int64] | None, int, int], None]
"""After each batch of raw rows: how often each input was missing, unknown, out of range or stale (int64[4, inputs],
or None for never), how many rows were answered, and how many of them with low coverage."""


class WarningCode(StrEnum):
    """What a reader of an answer should know about a row."""

    LOW_COVERAGE = "low_coverage"
    UNKNOWN_CATEGORY = "unknown_category"
    OUT_OF_TRAINING_RANGE = "out_of_training_range"
    MISSING = "missing"
    STALE = "stale"


_NONE = np.empty(0, np.int64)
_STATES = (WarningCode.MISSING, WarningCode.UNKNOWN_CATEGORY, WarningCode.OUT_OF_TRAINING_RANGE, WarningCode.STALE)
"""Bit by bit what a mark of `row_kernels` means."""


@dataclass(frozen=True, slots=True)
class RowWarning:
    """One warning about some rows; `column` is empty when it is about the whole row. rows: int64[k], ascending."""

    code: WarningCode
    column: str
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowError:
    """Why some rows have no answer. rows: int64[k], ascending."""

    error: EpmError
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for n rows; in those that have none (`errors`) every number is NaN, a label -1, the coverage 0.

    tensors: the graph's outputs, [n, ...]; margin: float32[n], None for a model that decides nothing; coverage:
    float32[n], None when ready tensors came, as nothing is known of what they were made from.
    """

    served: ServedModel
    rows: int
    tensors: Mapping[str, NDArray[Any]]
    margin: NDArray[np.float32] | None
    coverage: NDArray[np.float32] | None
    warnings: tuple[RowWarning, ...]
    errors: tuple[RowError, ...] = ()

    @property
    def margins(self) -> NDArray[np.float32]:
        """The margin of a model that decides."""
        assert self.margin is not None  # noqa: S101 (whoever asks has looked at the contract's outputs)
        return self.margin


@dataclass(frozen=True, slots=True, repr=False)
class _Prepared:
    """n rows on their way: what the graph is given, and what is known of the raw rows (None of ready tensors)."""

    rows: int
    tensors: Tensors
    inspection: Inspection | None = None
    errors: tuple[RowError, ...] = ()
    stale: NDArray[np.int64] | None = None
    """Rows that are as they were when the store was last reached."""


class Pipeline:
    """Answers batches of rows. Lives on one event loop; large batches are computed in worker threads."""

    def __init__(
        self,
        repository: Repository,
        settings: Settings,
        store: Store | None = None,
        states: States | None = None,
        inferences: Inferences | None = None,
    ) -> None:
        self.repository = repository
        self.store = store
        self._states = states or (lambda served, counts, rows, low: None)
        self.rows_in_flight = 0
        self.starting = False
        self.draining = False
        self.max_rows = settings.max_rows
        self._settings = settings
        self._workers = ThreadPoolExecutor(settings.worker_threads, thread_name_prefix="epm-worker")
        self.inferences = inferences or Inferences(settings)
        self.inferences.workers = self._workers

    @property
    def ready(self) -> bool:
        """Whether calls should be sent here: all that can be served is, and the gateway is not shutting down."""
        if self.starting or self.draining:
            return False
        return any(state.served for state in self.repository.models.values())

    async def predict(
        self,
        served: ServedModel,
        inputs: Inputs,
        deadline: float | None = None,
        entities: Entities | None = None,
        priority: Priority = Priority.NORMAL,
        watch: Stopwatch = UNTIMED,
    ) -> Prediction:
        """Answer one batch. With `entities`, their stored facts are the rows, and `inputs` replaces columns of them.

        deadline: as `time.monotonic()` counts, None for none. Raises InvalidInput; RowsRefused; TooLate;
        Overloaded when too many rows are being answered already; NotReady when no row at all can be answered because
        the online store is away, or no backend answers.
        """
        watch.lap(DECODE)
        if entities is None:
            watch.rows = rows = _rows(inputs)
            prepare = partial(self._prepare, served, inputs, deadline)
            return await self._answer(served, rows, prepare, deadline, priority, watch)
        watch.rows = rows = self._check_entities(served, inputs, entities)
        assert self.store is not None  # noqa: S101 (checked with the entities)
        since = self.inferences.of(served).generation
        with self.admitted(rows):  # records of 4,096 entities are megabytes: they count from the start
            fetched = await self.store.fetch(entities.entity_type, entities.ids, deadline)
        watch.lap(STORE)
        prepare = partial(self._prepare_stored, served, inputs, deadline, fetched, entities.present_month)
        return await self._answer(served, rows, prepare, deadline, priority, watch, since)

    async def forget(
        self, entity_type: str, entity: str, everything: bool, deadline: float | None
    ) -> Callable[[], Awaitable[None]]:
        """What drops the predictions kept of an entity's present facts, by each served model; or all predictions.

        May be called again and again. It raises NotReady when Redis cannot be told; what can be dropped is dropped in
        any case. Raises NotReady when the online store does not answer.
        """
        if everything:
            return self.inferences.forget_everything
        kept = []
        if self.store is not None:
            fetched = await self.store.fetch(entity_type, [entity], deadline)
            if fetched.state[0] == UNAVAILABLE:
                raise NotReady("the online store does not answer: try again")
            for served in self.served():
                if fetched.state[0] == FOUND and served.contract.entity_type == entity_type:
                    prepared = self._prepare_stored(served, {}, None, fetched, None)
                    kept.append((self.inferences.of(served), prepared.tensors))

        async def forget() -> None:
            outcomes = [await _failure(inference.forget(tensors)) for inference, tensors in kept]
            for error in filter(None, outcomes):
                raise error

        return forget

    def waiting(self) -> Iterator[tuple[str, int, int]]:
        """Model, version and rows that wait for a batch, of what is served now."""
        return self.inferences.waiting(self.served())

    @property
    def waiting_limit(self) -> int:
        """Rows of one model that may wait for a batch."""
        return queue_limit(self._settings)

    @property
    def rows_in_flight_limit(self) -> int:
        """How many rows may be in flight."""
        return self._settings.max_rows_in_flight

    def served(self) -> Iterator[ServedModel]:
        """All versions that are served now."""
        for state in self.repository.models.values():
            yield from state.served.values()

    def close(self) -> None:
        """Forget waiting work and let the threads end."""
        self.inferences.close()
        self._workers.shutdown(wait=True, cancel_futures=True)

    async def _answer(
        self,
        served: ServedModel,
        rows: int,
        prepare: Callable[[], _Prepared],
        deadline: float | None,
        priority: Priority,
        watch: Stopwatch,
        since: int | None = None,
    ) -> Prediction:
        """Few rows of a quick model at once; many in a worker; where something has to be waited for, it is."""
        inference = self.inferences.of(served)

        def timed() -> _Prepared:
            prepared = prepare()
            watch.lap(FEATURES)
            return prepared

        def finished(prepared: _Prepared, tensors: Tensors) -> Prediction:
            prediction = self._finish(served, prepared, tensors)
            watch.lap(ENCODE)
            return prediction

        if rows <= self._settings.inline_rows or rows > self.max_rows:  # quick, or quickly refused
            prepared = timed()
            if inference.quick(rows):
                return self._finish(served, prepared, inference.run(prepared.tensors, watch, since))
            with self.admitted(rows):
                tensors = await inference.infer(prepared.tensors, deadline, priority, watch, since)
            return self._finish(served, prepared, tensors)
        if inference.here(rows):

            def whole() -> Prediction:
                prepared = timed()
                return finished(prepared, inference.run(prepared.tensors, watch, since))

            return await self._in_worker(whole, rows, watch)
        with self.admitted(rows):
            prepared = await self._worked(timed, watch)
            tensors = await inference.infer(prepared.tensors, deadline, priority, watch, since)
            return await self._worked(partial(finished, prepared, tensors), watch)

    def _admit(self, rows: int) -> None:
        limit = self._settings.max_rows_in_flight
        if self.rows_in_flight + rows > limit:
            raise Overloaded(f"{self.rows_in_flight} rows are being answered, {rows} more would exceed {limit}")
        self.rows_in_flight += rows

    @contextmanager
    def admitted(self, rows: int) -> Iterator[None]:
        """So many rows are being answered. Raises Overloaded when that would be too many."""
        self._admit(rows)
        try:
            yield
        finally:
            self.rows_in_flight -= rows

    async def _in_worker(self, compute: Callable[[], T], rows: int, watch: Stopwatch) -> T:
        """Compute rows in a worker; they are given back when the work has ended, not when the caller leaves."""
        self._admit(rows)
        work = self._submit(compute, watch)
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: _on_loop(loop, self._finished, rows))
        return await self._outcome(work, watch)

    async def _worked(self, compute: Callable[[], T], watch: Stopwatch) -> T:
        """Part of a call that was admitted, in a worker."""
        return await self._outcome(self._submit(compute, watch), watch)

    def _submit(self, compute: Callable[[], T], watch: Stopwatch) -> Future[T]:
        def begun() -> T:
            watch.lap(QUEUE)
            return compute()

        return self._workers.submit(begun)

    async def _outcome(self, work: Future[T], watch: Stopwatch) -> T:
        outcome = await asyncio.wrap_future(work)  # a cancelled call cancels work that has not begun
        watch.lap(QUEUE)
        return outcome

    def _finished(self, rows: int) -> None:
        self.rows_in_flight -= rows

    def _check_entities(self, served: ServedModel, inputs: Inputs, entities: Entities) -> int:
        """How many rows there will be. Raises InvalidInput, PreconditionFailed."""
        expected, called = served.contract.entity_type, entities.called
        if entities.entity_type != expected:
            came = repr(entities.entity_type[:40]) if entities.entity_type else "nothing"
            raise InvalidInput.cell("entities.entity_type", came, repr(expected))
        if not 1 <= len(entities.ids) <= self.max_rows:
            raise InvalidInput.cell("entities.ids", f"{len(entities.ids)} ids", f"1 to {self.max_rows} in one call")
        if served.takes_ready(inputs):
            raise InvalidInput.cell(next(iter(inputs)), f"a ready tensor beside {called}", "raw columns, or nothing")
        if self.store is None:
            message = f"{called}: this gateway has no online store (EPM_REDIS_URL): send columns"
            raise PreconditionFailed(message, field=called)
        return len(entities.ids)

    def _prepare(self, served: ServedModel, inputs: Inputs, deadline: float | None) -> _Prepared:
        _check_deadline(deadline)
        if served.takes_ready(inputs):
            ready = served.check_ready(inputs, self.max_rows)
            return _Prepared(rows_of(ready), ready)
        rows = served.schema.assemble(inputs, self.max_rows)
        inspection = served.schema.inspect(rows)
        served.schema.refuse_wrong(rows, inspection)
        return _Prepared(len(rows), served.graph_tensors(served.program.run(rows)), inspection)

    def _prepare_stored(
        self,
        served: ServedModel,
        inputs: Inputs,
        deadline: float | None,
        fetched: Fetched,
        present_month: int | None,
    ) -> _Prepared:
        _check_deadline(deadline)
        if (fetched.state == UNAVAILABLE).all():
            raise NotReady("the online store does not answer, and none of these entities is in the replica: try again")
        schema = served.schema
        replaced = np.array([schema.is_given(name, inputs) for name in schema.names])
        facts = served.reader.read(fetched, replaced, present_month)
        rows = schema.override(facts.rows, inputs)
        inspection = schema.inspect(rows)
        facts.as_of[:, replaced] = -1
        schema.mark_stale(inspection, facts.as_of, int(time.time() * 1000))
        errors = _row_errors(schema, rows, inspection, fetched, facts, replaced)
        tensors = served.graph_tensors(served.program.run(rows))
        for error in errors:  # without an answer in any case: what stands there shall not fail the others
            for tensor in tensors.values():
                tensor[error.rows] = 0
        return _Prepared(len(rows), tensors, inspection, errors, np.flatnonzero(fetched.stale))

    def _finish(self, served: ServedModel, prepared: _Prepared, tensors: Tensors) -> Prediction:
        """The answer, from what the model says of rows."""
        margin, inspection, errors = served.margin(tensors), prepared.inspection, prepared.errors
        if inspection is None:
            return Prediction(served, prepared.rows, tensors, margin, None, ())
        coverage = inspection.coverage
        failed = np.concatenate([error.rows for error in errors]) if errors else _NONE
        if errors:
            tensors = {name: _blank(values, failed) for name, values in tensors.items()}
            margin = None if margin is None else _blank(margin, failed)
            coverage[failed], inspection.marks[failed] = 0, 0
        warnings = self._warnings(served, inspection, failed)
        stale = prepared.stale
        if stale is not None and stale.size and (stale := np.setdiff1d(stale, failed)).size:
            warnings += (RowWarning(WarningCode.STALE, "", stale),)
        return Prediction(served, prepared.rows, tensors, margin, coverage, warnings, errors)

    def _warnings(
        self, served: ServedModel, inspection: Inspection, failed: NDArray[np.int64]
    ) -> tuple[RowWarning, ...]:
        """What readers should know of the rows that were answered; counted as well."""
        found, counts, low = [], None, 0
        if inspection.low:
            rows = np.setdiff1d(np.flatnonzero(inspection.coverage < served.contract.min_coverage), failed)
            if low := rows.size:
                found.append(RowWarning(WarningCode.LOW_COVERAGE, "", rows))
        if inspection.marked:
            counts = inspection.count()
            for number, state in np.argwhere(counts.T).tolist():
                rows = np.flatnonzero(inspection.marks[:, number] & (1 << state))
                found.append(RowWarning(_STATES[state], served.schema.names[number], rows))
        self._states(served, counts, len(inspection.coverage) - len(failed), low)
        return tuple(found)


async def _failure(work: Awaitable[None]) -> NotReady | None:
    try:
        await work
    except NotReady as error:
        return error
    return None


def _check_deadline(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TooLate("the deadline passed before work began")


def _row_errors(
    schema: RowSchema,
    rows: RawRows,
    inspection: Inspection,
    fetched: Fetched,
    facts: FactRows,
    replaced: NDArray[np.bool_],
) -> tuple[RowError, ...]:
    """Rows without an answer, each under its first reason; equal reasons together."""
    found: dict[tuple[Any, ...], tuple[EpmError, list[int]]] = {}
    for row in np.flatnonzero((fetched.state != FOUND) | (facts.wrong != 0) | (inspection.wrong != 0)).tolist():
        state, wrong_input, where = int(fetched.state[row]), int(facts.wrong_input[row]), int(inspection.where[row, 0])
        if state != FOUND:
            key: tuple[Any, ...] = (state,)
        elif facts.wrong[row]:
            key = (CORRUPT,) if wrong_input < 0 else ("type", wrong_input, int(facts.wrong[row]))
        elif replaced[where]:  # the caller's own value: told in full, row by row
            key = ("sent", row)
        else:
            key = ("stored", where, int(inspection.wrong[row]))
        if key not in found:
            found[key] = (_row_error(key, schema, rows, inspection, row), [])
        found[key][1].append(row)
    return tuple(RowError(error, np.array(numbers, np.int64)) for error, numbers in found.values())


def _row_error(key: tuple[Any, ...], schema: RowSchema, rows: RawRows, inspection: Inspection, row: int) -> EpmError:
    match key:
        case ("type", number, wrong):
            name, (came, expected) = schema.names[number], CAME_AND_EXPECTED[wrong]
            return PreconditionFailed(f"{name}: got {came}, expected {expected}", field=name)
        case ("sent", _):
            return schema.refusal(rows, inspection, row)
        case ("stored", _, _):
            return schema.stored_refusal(inspection, row)
    if key[0] == NOT_FOUND:
        return NotFound("nothing is stored of this entity")
    if key[0] == UNAVAILABLE:
        return NotReady("the online store does not answer, and this entity is not in the replica: try again")
    return PreconditionFailed("what is stored of this entity is damaged: write its facts again")


def _blank(values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Values without those of some rows."""
    values = values.copy()
    values[rows] = np.nan if values.dtype.kind == "f" else -1
    return values


def _rows(inputs: Inputs) -> int:
    """How many rows a batch claims to have; whether all inputs agree is checked later."""
    for cells in inputs.values():
        try:
            return len(cells)
        except TypeError:  # a tensor without dimensions
            return 0
    return 0


def _on_loop(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *arguments)
