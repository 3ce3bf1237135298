"""The prediction cache by itself, and in front of the published models: `python -m loadtest.backends.cache`.

Cache off and on take turns call by call with the same rows, and their answers are compared. Rows are golden rows with
noise, so that no two of them are equal unless they are meant to be.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.answers import WrongAnswerError
from loadtest.published import newest_version
from serving.backends.backend import Tensors, rows_of
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.cache.layout import OutputLayout
from serving.cache.prediction_cache import PredictionCache
from serving.cache.row_keys import RowKeys
from serving.cache.table import Table
from serving.contract import Contract
from serving.hash_key import HashKey

MODELS = ("performance_model", "attrition_model")
ROWS = 64
REPEATED = 0.9
ENTRIES = 1_000_000
_POOL = 8192
"""Different rows that are asked for again and again."""
_TOLERANCE = 1e-5
_NOISE = 1e-3


class Rows:
    """Rows of one model: the golden ones with noise, never the same twice."""

    def __init__(self, folder: Path, contract: Contract, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        with np.load(folder / "golden.npz", allow_pickle=False) as golden:
            by_shape = {golden[name].shape[1:]: golden[name] for name in ("features", "window") if name in golden}
        self._golden = {tensor.name: by_shape[tensor.shape] for tensor in contract.tensors}

    def draw(self, rows: int) -> dict[str, NDArray[np.float32]]:
        """Tensors of this many rows by name."""
        chosen = self._random.integers(0, rows_of(self._golden), rows)
        drawn = {}
        for name, tensor in self._golden.items():
            noise = self._random.normal(scale=_NOISE, size=(rows, *tensor.shape[1:]))
            drawn[name] = (tensor[chosen] + noise).astype(np.float32)
        return drawn

    def calls(self, pool: Tensors, repeated: float) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Calls of ROWS rows, this share of them out of the pool."""
        while True:
            call, known = self.draw(ROWS), np.flatnonzero(self._random.random(ROWS) < repeated)
            chosen = self._random.integers(0, rows_of(pool), len(known))
            for name, tensor in call.items():
                tensor[known] = pool[name][chosen]
            yield call


class Measured:
    """One published model, a cache for it, and a pool of rows that the cache knows."""

    def __init__(self, folder: Path, seed: int) -> None:
        contract = Contract.load(folder / "contract.json")
        self.backend = OnnxRuntimeBackend((folder / "model.onnx").read_bytes(), 1)
        layout = OutputLayout(contract.graph_outputs())
        names = tuple(tensor.name for tensor in contract.tensors)
        self.table = Table(Table.bytes_for(ENTRIES, layout.width), layout.width)
        self.cache = PredictionCache(layout, RowKeys(HashKey(bytes(16)), "", names), self.table, None, 3600.0)
        self.rows = Rows(folder, contract, seed)
        self.pool = self.rows.draw(_POOL)
        self.row_bytes = sum(tensor[0].nbytes for tensor in self.pool.values())
        for at in range(0, _POOL, 512):
            self.cache.run({name: tensor[at : at + 512] for name, tensor in self.pool.items()}, self.backend.run)

    def of_the_cache(self, calls: int) -> dict[str, float]:
        """Nanoseconds a row in calls of ROWS rows and in calls of one: all found, and all missing with a free model."""
        known = list(itertools.islice(self.rows.calls(self.pool, 1.0), 64))
        single = [{name: tensor[:1] for name, tensor in call.items()} for call in known]
        unknown = [self.rows.draw(ROWS) for _ in range(calls)]
        answer = self.backend.run(unknown[0])
        return {
            "hit_ns": _median(lambda call: self.cache.run(call, _never), known, calls) / ROWS,
            "hit_one_row_ns": _median(lambda call: self.cache.run(call, _never), single, calls),
            "miss_ns": _median(lambda call: self.cache.run(call, lambda _: answer), unknown, calls) / ROWS,
        }

    def beside_the_model(self, repeated: float, calls: int) -> dict[str, float]:
        """Rows a second with the cache off and on, in turn with the same rows, and the farthest answer apart."""
        off: list[float] = []
        on: list[float] = []
        farthest = 0.0
        sides = [(off, self.backend.run), (on, lambda call: self.cache.run(call, self.backend.run))]
        for call in itertools.islice(self.rows.calls(self.pool, repeated), calls):
            sides.reverse()
            answers = []
            for taken, ask in sides:
                begin = time.perf_counter()
                answers.append(ask(call))
                taken.append(time.perf_counter() - begin)
            for name in answers[0].keys() & answers[1].keys():
                apart = np.abs(answers[0][name].astype(np.float64) - answers[1][name])
                farthest = max(farthest, float(apart.max()))
        if farthest > _TOLERANCE:
            raise WrongAnswerError(f"the cache answers otherwise, by up to {farthest}")
        plain_seconds, cached_seconds = statistics.median(off), statistics.median(on)
        return {
            "off_rows_per_second": ROWS / plain_seconds,
            "on_rows_per_second": ROWS / cached_seconds,
            "ratio": plain_seconds / cached_seconds,
            "farthest": farthest,
        }


def measure(repository: Path = Path("model_repo"), calls: int = 400, seed: int = 1) -> dict[str, Any]:
    """All figures, by model."""
    figures = {}
    for name in MODELS:
        measured = Measured(newest_version(repository / name), seed)
        figures[name] = {
            "row_bytes": measured.row_bytes,
            **measured.of_the_cache(calls),
            "repeated": measured.beside_the_model(REPEATED, calls),
            "new": measured.beside_the_model(0.0, calls),
            "table_bytes": measured.table.bytes,
            "table_bound": Table.bytes_for(ENTRIES, measured.table.value_bytes),
        }
    return {"rows": ROWS, "repeated_share": REPEATED, "models": figures}


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'':<48}" + "".join(f"{name:>20}" for name in figures["models"])]
    models = figures["models"].values()
    share = round(100 * figures["repeated_share"])
    for words, value in (
        ("bytes of a row", lambda m: f"{m['row_bytes']}"),
        (f"all known, {figures['rows']} rows: ns a row", lambda m: f"{m['hit_ns']:.0f}"),
        ("all known, 1 row: ns", lambda m: f"{m['hit_one_row_ns']:.0f}"),
        (f"none known, {figures['rows']} rows, free model: ns a row", lambda m: f"{m['miss_ns']:.0f}"),
        (f"{share} % known, cache off: rows/s", lambda m: f"{m['repeated']['off_rows_per_second']:,.0f}"),
        (f"{share} % known, cache on: rows/s", lambda m: f"{m['repeated']['on_rows_per_second']:,.0f}"),
        ("on / off", lambda m: f"{m['repeated']['ratio']:.2f}"),
        ("none known: on / off", lambda m: f"{m['new']['ratio']:.2f}"),
        ("answers apart at most", lambda m: f"{max(m['repeated']['farthest'], m['new']['farthest']):.1e}"),
        ("bytes of a table of 1,000,000", lambda m: f"{m['table_bytes']:,}"),
    ):
        lines.append(f"{words:<48}" + "".join(f"{value(model):>20}" for model in models))
    return "\n".join(lines)


def _never(_: Tensors) -> Tensors:
    raise WrongAnswerError("a known row was computed")


def _median(work: Callable[[Any], object], calls: list[Any], count: int) -> float:
    """Nanoseconds of one call."""
    taken = []
    for call in itertools.islice(itertools.cycle(calls), count):
        begin = time.perf_counter_ns()
        work(call)
        taken.append(time.perf_counter_ns() - begin)
    return statistics.median(taken)


if __name__ == "__main__":
    print(table(measure()))
