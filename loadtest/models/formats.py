"""Each format of a published version: its size, its parity when it was published, and its latency now."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells
from exporters.formats import golden
from exporters.fresh_process import FreshProcess
from exporters.quiet import tensorflow
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.repository.served import ServedModel
from serving.repository.versions import load_version

ROWS = (1, 256)
ROUNDS, SECONDS = 5, 0.4
"""Each thing is timed in so many rounds, taking turns with the others, for so long."""
Timed = dict[int, float]
"""Rows of a call -> median microseconds."""


def measure(folder: Path, process: FreshProcess, seconds: float = SECONDS) -> dict[str, Any]:
    """Figures of the version in `folder`, one thread each. TensorFlow runs in `process`."""
    served = load_version(folder)
    onnxruntime = OnnxRuntimeBackend((folder / "model.onnx").read_bytes(), threads=1)
    named = golden.load(folder / "golden.npz", served.contract)
    columns = golden.raw_columns(named)
    raw = served.schema.assemble(_cells(columns, len(named["features"])), len(named["features"]))
    tensors = served.graph_tensors(served.program.run(raw))
    runtime: list[Timed] = []
    saved: list[Timed] = []
    gateway: list[Timed] = []
    for _ in range(ROUNDS):
        runtime.append(_timed(lambda n: _call(onnxruntime.run, _first(tensors, n)), seconds))
        saved.append(process.call(time_saved_model, folder, tensors, seconds))
        gateway.append(_timed(lambda n: _asked(served, columns, n), seconds))
    agreed = {one["export"]: one for one in json.loads((folder / "parity.json").read_text())["exports"]}
    files = [folder / "saved_model.pb", *(path for path in (folder / "variables").rglob("*") if path.is_file())]
    of = f"{folder.parent.name}/{folder.name}"
    return {
        "model": of,
        "formats": [
            _line("ONNX, onnxruntime", (folder / "model.onnx").stat().st_size, agreed["onnxruntime"], runtime),
            _line(
                "SavedModel, TensorFlow",
                sum(path.stat().st_size for path in files),
                agreed["SavedModel (features)"],
                saved,
            ),
            _line(f"the gateway: raw columns, features, {served.backend.name}", None, agreed["gateway"], gateway),
        ],
    }


def time_saved_model(folder: Path, tensors: dict[str, NDArray[np.float32]], seconds: float) -> Timed:
    """The signature `features`, called in this process on one thread."""
    tf = tensorflow()
    signature = tf.saved_model.load(str(folder)).signatures["features"]

    def prepared(n: int) -> Callable[[], Any]:
        given = {name: tf.constant(values) for name, values in _first(tensors, n).items()}
        return lambda: [values.numpy() for values in signature(**given).values()]

    return _timed(prepared, seconds)


def _timed(prepared: Callable[[int], Callable[[], Any]], seconds: float) -> Timed:
    return {n: _median(prepared(n), seconds) for n in ROWS}


def _median(call: Callable[[], Any], seconds: float) -> float:
    for _ in range(5):
        call()
    taken, ends = [], time.perf_counter() + seconds
    while time.perf_counter() < ends:
        begins = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begins)
    return float(np.median(taken)) * 1e6


def _line(name: str, size: int | None, agreed: dict[str, Any], rounds: list[Timed]) -> dict[str, Any]:
    return {
        "format": name,
        "bytes": size,
        "rows": agreed["rows"],
        "largest_difference": agreed["largest_difference"],
        "labels_that_differ": agreed["labels_that_differ"],
        "microseconds": {str(n): round(float(np.median([timed[n] for timed in rounds])), 1) for n in ROWS},
    }


def _asked(served: ServedModel, columns: dict[str, Cells], n: int) -> Callable[[], Any]:
    cells = _cells(columns, n)

    def ask() -> Any:
        rows = served.schema.assemble(cells, n)
        served.schema.refuse_wrong(rows, served.schema.inspect(rows))
        return served.run(served.graph_tensors(served.program.run(rows)))

    return ask


def _call(run: Callable[[Any], Any], given: Any) -> Callable[[], Any]:
    return lambda: run(given)


def _cells(columns: dict[str, Cells], n: int) -> dict[str, Any]:
    first = {name: cells[:n] for name, cells in columns.items()}
    return {name: cells.tolist() if cells.dtype.kind == "U" else cells for name, cells in first.items()}


def _first(tensors: dict[str, NDArray[np.float32]], n: int) -> dict[str, NDArray[np.float32]]:
    return {name: np.ascontiguousarray(values[:n]) for name, values in tensors.items()}
