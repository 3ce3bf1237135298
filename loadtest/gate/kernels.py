"""The kernels that are watched, each beside another way to do the same in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from loadtest.answers import WrongAnswerError
from loadtest.backends import forest as forests
from loadtest.backends.cache import Rows
from loadtest.features import by_hand, programs
from loadtest.gate.turns import Call, Pair
from loadtest.published import MODEL, newest_version
from serving.backends.backend import Tensors
from serving.backends.forest import ForestBackend
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.cache.layout import OutputLayout
from serving.cache.prediction_cache import PredictionCache
from serving.cache.row_keys import RowKeys
from serving.cache.table import Table
from serving.contract import Contract
from serving.features.program import compile_program
from serving.features.rows import RawRows
from serving.hash_key import HashKey

SETS = 64
"""Sets of rows that calls go through, so that no call has the rows of the one before."""
ENTRIES = 1 << 15
"""Of the cache: many times the rows that it is asked for."""
SAME_SHARE, SAME_BELOW = 5e-7, 1e-9
"""Features may differ by four units in the last place of float32, or by what rounding leaves of a difference near 0."""


def forest(repository: Path, rows: int) -> Pair:
    """The published grades by our forest, and by onnxruntime with one thread. Raises ValueError."""
    work = forests.published(repository)
    ours, other = ForestBackend(work.model, work.promised), OnnxRuntimeBackend(work.model, threads=1)
    batches = work.batches(max(SETS, 4096 // rows), rows, 1)
    forests.check(work, ours, other, batches[0])
    sets = [{"features": X} for X in batches]
    return Pair(_over(ours.run, sets), _over(other.run, sets))


def facts(rows: int) -> Pair:
    """The program of 18 columns by the gateway, and by one Numba function written for it. Raises WrongAnswerError."""
    return _features(programs.facts(), programs.facts_rows, by_hand.facts, rows)


def histories(rows: int) -> Pair:
    """The program of 24 months of six columns, as `facts`."""
    return _features(programs.histories(), programs.histories_rows, by_hand.histories, rows)


def cache(repository: Path, rows: int) -> Pair:
    """Rows that the prediction cache has, and the same rows by the model (onnxruntime). Raises WrongAnswerError."""
    folder = newest_version(repository / MODEL)
    contract = Contract.load(folder / "contract.json")
    model = OnnxRuntimeBackend((folder / "model.onnx").read_bytes(), threads=1)
    layout = OutputLayout(contract.graph_outputs())
    table = Table(Table.bytes_for(ENTRIES, layout.width), layout.width)
    keys = RowKeys(HashKey(bytes(16)), "", tuple(tensor.name for tensor in contract.tensors))
    kept = PredictionCache(layout, keys, table, None, 3600.0)
    drawn = Rows(folder, contract, 1)
    sets = [drawn.draw(rows) for _ in range(SETS)]
    for tensors in sets:
        expected, found = kept.run(tensors, model.run), kept.run(tensors, _never)
        if any(not np.array_equal(expected[name], found[name]) for name in expected):
            raise WrongAnswerError("the cache answers otherwise than the model")
    return Pair(_over(lambda tensors: kept.run(tensors, _never), sets), _over(model.run, sets))


def _features(
    contract: Contract, make: Callable[[int, int], programs.Raw], written: Callable[[programs.Raw], object], rows: int
) -> Pair:
    program = compile_program(contract)
    sets = [make(rows, seed) for seed in range(SETS)]
    ready = [RawRows(raw.values, raw.history) for raw in sets]
    found = written(sets[0])
    for here, there in zip(program.run(ready[0]), found if isinstance(found, tuple) else (found,), strict=False):
        if not np.allclose(here, there, rtol=SAME_SHARE, atol=SAME_BELOW, equal_nan=True):
            raise WrongAnswerError(f"{contract.model}: the program gives other features than the function by hand")
    return Pair(_over(program.run, ready), _over(written, sets))


def _over(do: Callable[..., object], sets: Sequence[object]) -> Call:
    count = len(sets)
    return lambda number: do(sets[number % count])


def _never(_: Tensors) -> Tensors:
    raise WrongAnswerError("a known row was computed")
