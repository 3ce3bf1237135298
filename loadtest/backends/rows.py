"""Different rows for one published model, raw and as its graph takes them, and what onnxruntime answers to them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.answers import WrongAnswerError
from loadtest.published import newest_version
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.pipeline import Prediction
from serving.repository.versions import load_version
from tests.support import published

KINDS = {"ready": "ready tensors", "raw": "raw columns"}
TOLERANCE = 1e-5
_PEOPLE = 2048
_BATCH = 512

Columns = dict[str, NDArray[Any]]
Chosen = slice | NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """n rows. raw: columns by name; ready: tensors by name; expected: outputs by name."""

    raw: Columns
    ready: Columns
    expected: Columns

    def inputs(self, kind: str, rows: Chosen) -> dict[str, Any]:
        """Some of the rows as a caller sends them."""
        if kind == "ready":
            return {name: tensor[rows] for name, tensor in self.ready.items()}
        return _cells({name: column[rows] for name, column in self.raw.items()})

    def check(self, prediction: Prediction, rows: Chosen) -> None:
        """Raises WrongAnswerError. A label may differ where the model is undecided."""
        for name, expected in self.expected.items():
            got, wanted = prediction.tensors[name], expected[rows]
            if got.shape != wanted.shape:
                raise WrongAnswerError(f"{prediction.served.name}: {name} is {list(got.shape)}")
            if wanted.dtype.kind == "f":
                right = np.abs(got - wanted) <= TOLERANCE
            else:
                right = (got == wanted) | (np.abs(prediction.margins) <= 2 * TOLERANCE)
            if not right.all():
                raise WrongAnswerError(f"{prediction.served.name}: {name} differs from onnxruntime's")


class People:
    """Draws rows of one model, never the same twice: those of some thousand people, mixed column by column."""

    def __init__(self, repository: Path, model: str, seed: int) -> None:
        folder = newest_version(repository / model)
        self.model = model
        self._served = load_version(folder)
        self._backend = OnnxRuntimeBackend((folder / "model.onnx").read_bytes(), 1)
        self._random = np.random.default_rng(seed)
        columns = published.columns(self._served, *published.facts(model, _PEOPLE, seed))
        self._columns = {name: np.asarray(cells) for name, cells in columns.items()}

    def draw(self, n: int) -> Drawn:
        """n rows."""
        raw = {name: column[self._random.integers(0, _PEOPLE, n)] for name, column in self._columns.items()}
        rows = self._served.schema.assemble(_cells(raw), n)
        ready = dict(self._served.graph_tensors(self._served.program.run(rows)))
        parts = [self._backend.run({k: v[at : at + _BATCH] for k, v in ready.items()}) for at in range(0, n, _BATCH)]
        names = self._served.contract.graph_outputs()
        return Drawn(raw, ready, {name: np.concatenate([part[name] for part in parts]) for name in names})

    def calls(self, count: int, rows: int, pool: int, repeated: float) -> tuple[Drawn, Iterator[NDArray[np.int64]]]:
        """So many calls, this share of their rows out of the first `pool` of what is drawn, the others new."""
        known = self._random.random((count, rows)) < repeated
        new = int((~known).sum())
        chosen = self._random.integers(0, max(pool, 1), (count, rows))
        chosen[~known] = pool + np.arange(new)
        return self.draw(pool + new), iter(chosen)


def _cells(columns: Columns) -> dict[str, Any]:
    return {name: column.tolist() if column.dtype.kind == "U" else column for name, column in columns.items()}
