"""Times of all implementations of both programs, in one process and thread, in turn.

A round goes through all implementations; each makes calls for a moment, with other rows every time, and the first call
of its turn is not counted: the one before left its own data in the caches. What counts is the median of all calls.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loadtest.features import by_hand, programs, with_pandas, with_polars, with_sklearn
from loadtest.features.programs import CATEGORIES, DATES, HISTORIES, NUMBERS, TARGETS, TITLE, Raw
from serving.contract import Contract, GraphInput, Program
from serving.features.program import compile_program
from serving.features.rows import RawRows, RowSchema

GATEWAY, BY_HAND, FROM_LISTS, NO_STEPS, MEMORY = (
    "gateway",
    "by hand",
    "gateway, from lists",
    "gateway, no steps",
    "memory",
)
LIBRARIES = ("pandas", "scikit-learn", "polars")
SAME_SHARE, SAME_BELOW = 5e-7, 1e-9
"""Results may differ by four units in the last place of float32, or by what rounding leaves of a difference near 0."""
ROWS = (1, 64, 10_000)
_EPOCH = date(1970, 1, 1)

Call = Callable[[], Any]
Matrices = list[NDArray[np.float32]]


class DifferentError(Exception):
    """Two implementations gave different features for the same rows."""


@dataclass(frozen=True)
class Effort:
    """rounds: how often everything has its turn; moment: seconds of a turn, but `least` calls; sets: of rows."""

    rounds: int
    moment: float
    least: int = 2
    sets: int = 8


@dataclass(frozen=True)
class Work:
    """One program: its contract, and rows for it by (how many, seed)."""

    contract: Contract
    make: Callable[[int, int], Raw]

    @property
    def name(self) -> str:
        return self.contract.model


def works() -> tuple[Work, Work]:
    """Both programs."""
    return Work(programs.facts(), programs.facts_rows), Work(programs.histories(), programs.histories_rows)


def measure(work: Work, rows: int, effort: Effort) -> dict[str, dict[str, float]]:
    """Implementation -> median, smallest and number of its times, in microseconds. Raises DifferentError."""
    sets = [calls(work, work.make(rows, seed)) for seed in range(effort.sets if rows > 1 else 8 * effort.sets)]
    for made in sets[:2]:
        check_same(made)
    times: dict[str, list[int]] = {name: [] for name in sets[0]}
    gc.collect()
    gc.disable()
    try:
        for _ in range(effort.rounds):
            for name, found in times.items():
                _turn([made[name] for made in sets], effort, found)
    finally:
        gc.enable()
    return {
        name: {"median_us": statistics.median(found) / 1e3, "least_us": min(found) / 1e3, "calls": len(found)}
        for name, found in times.items()
    }


def calls(work: Work, raw: Raw) -> dict[str, Call]:
    """A call for every implementation, on the same rows, in the form that each takes them in."""
    implementations = _facts_calls(raw) if work.name == "facts" else _histories_calls(raw)
    program, schema = compile_program(work.contract), RowSchema(work.contract)
    nothing = compile_program(without_steps(work.contract))
    rows = RawRows(raw.values, raw.history)
    lists = _lists(work, raw)
    n = len(raw.values)
    buffers = np.empty_like(raw.values), np.empty_like(raw.history)

    def memory() -> None:
        np.copyto(buffers[0], raw.values)
        np.copyto(buffers[1], raw.history)
        for shape in [(n, len(work.contract.program.features)), (n, work.contract.months, 5)]:
            np.empty(shape, np.float32).fill(0.0)

    return {
        GATEWAY: lambda: program.run(rows),
        **implementations,
        FROM_LISTS: lambda: program.run(schema.assemble(lists, n)),
        NO_STEPS: lambda: nothing.run(rows),
        MEMORY: memory,
    }


def without_steps(contract: Contract) -> Contract:
    """The same inputs, and a program that gives the first of them as it is."""
    program = Program(steps=(), features=(contract.inputs[0].name,))
    return msgspec.structs.replace(contract, program=program, tensors=(GraphInput("features", (1,)),))


def check_same(made: dict[str, Call]) -> None:
    """Raises DifferentError when an implementation's features are others than the gateway's."""
    expected = matrices(made[GATEWAY]())
    for name in (BY_HAND, *LIBRARIES):
        for here, there in zip(expected, matrices(made[name]()), strict=True):
            if here.shape != there.shape or there.dtype != np.float32:
                raise DifferentError(f"{name}: {there.dtype}{list(there.shape)}, the gateway's are {list(here.shape)}")
            if not np.allclose(here, there, rtol=SAME_SHARE, atol=SAME_BELOW, equal_nan=True):
                raise DifferentError(f"{name}: other features than the gateway for the same rows")


def matrices(result: Any) -> Matrices:
    """What an implementation gives, features first; the empty window of a program without one left out."""
    return [matrix for matrix in (result if isinstance(result, tuple) else (result,)) if matrix.size]


def _turn(made: list[Call], effort: Effort, times: list[int]) -> None:
    clock, number = time.perf_counter_ns, len(times)
    made[number % len(made)]()
    end = clock() + int(effort.moment * 1e9)
    done = 0
    while done < effort.least or clock() < end:
        call = made[(number + done) % len(made)]
        begin = clock()
        call()
        times.append(clock() - begin)
        done += 1


def _facts_calls(raw: Raw) -> dict[str, Call]:
    frame, table, pipeline = with_pandas.facts_frame(raw), with_polars.facts_frame(raw), with_sklearn.facts_pipeline()
    return {
        BY_HAND: lambda: by_hand.facts(raw),
        "pandas": lambda: with_pandas.facts(frame),
        "scikit-learn": lambda: with_sklearn.facts(pipeline, raw.values),
        "polars": lambda: with_polars.facts(table),
    }


def _histories_calls(raw: Raw) -> dict[str, Call]:
    frames, table = with_pandas.histories_frames(raw), with_polars.histories_frame(raw)
    pipeline, matrix = with_sklearn.histories_pipeline(), with_sklearn.histories_matrix(raw)
    return {
        BY_HAND: lambda: by_hand.histories(raw),
        "pandas": lambda: with_pandas.histories(frames),
        "scikit-learn": lambda: with_sklearn.histories(pipeline, matrix),
        "polars": lambda: with_polars.histories(table),
    }


def _lists(work: Work, raw: Raw) -> dict[str, list[Any]]:
    """The rows as a caller has them: lists of numbers, names, days as texts and None."""
    names = NUMBERS if work.name == "facts" else TARGETS
    columns: dict[str, list[Any]] = {name: _cells(raw.values[:, c], float) for c, name in enumerate(names)}
    if work.name == "facts":
        at = len(NUMBERS)
        for c, (name, known) in enumerate(CATEGORIES.items()):
            columns[name] = _cells(raw.values[:, at + c], lambda v, known=known: (*known, "another")[int(v)])
        columns[TITLE] = _cells(raw.values[:, at + len(CATEGORIES)], lambda v: f"title {int(v) % 1000}")
        for c, name in enumerate(DATES):
            days = raw.values[:, at + len(CATEGORIES) + 1 + c]
            columns[name] = _cells(days, lambda v: (_EPOCH + timedelta(days=v)).isoformat())
    else:
        for k, name in enumerate(HISTORIES):
            columns[name] = [_cells(months, float) for months in raw.history[:, k]]
    return columns


def _cells(column: NDArray[np.float64], write: Callable[[float], Any]) -> list[Any]:
    return [None if np.isnan(value) else write(value) for value in column.tolist()]


def threads() -> int:
    """Of this process, now."""
    return len(os.listdir("/proc/self/task"))
