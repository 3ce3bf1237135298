"""The ways to score a file, and what each of them answered."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from loadtest.batch import child
from loadtest.batch.files import ID, Files
from loadtest.measure import MeasurementError

TOLERANCE = 1e-5
"""How far probabilities of the same row may be apart."""


@dataclass(frozen=True)
class Way:
    """One way. title: for the page; command: (version folder, files, out) -> arguments after `python`."""

    name: str
    title: str
    ending: str
    command: Callable[[Path, Files, Path], list[str]]
    ours: bool
    most_rounds: int = 9
    """A way that takes long has one."""


def run(way: Way, folder: Path, files: Files, work: Path) -> tuple[child.Used, Path]:
    """Score the file once; what it took, and where the answers are. Raises MeasurementError."""
    out = work / f"{way.name}{way.ending}"
    out.unlink(missing_ok=True)
    command = [sys.executable, *way.command(folder, files, out)]
    return child.run(command, work / f"{way.name}.log"), out


def probabilities(out: Path, rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32[rows, C]. Raises MeasurementError unless every row is there, in order."""
    table = pyarrow.csv.read_csv(out) if out.suffix == ".csv" else pq.read_table(out)
    chosen = [name for name in table.column_names if name.startswith(("P(", "p"))]
    ids = table.column(ID)
    expected = pa.array([f"E{number:07}" for number in range(rows)])
    if len(table) != rows or not ids.combine_chunks().equals(expected):
        raise MeasurementError(f"{out.name}: {len(table)} rows, expected {rows} in the order of the file")
    return np.stack([np.asarray(table.column(name), np.float32) for name in chosen], axis=1)


def check_same(out: Path, rows: int, expected: np.ndarray[Any, np.dtype[np.float32]] | None) -> Any:
    """The probabilities, which are the expected ones. Raises MeasurementError."""
    found = probabilities(out, rows)
    if expected is None:
        return found
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
        raise MeasurementError(f"{out.name}: other answers than before for the same rows")
    return expected


def _epm(source: str, *options: str) -> Callable[[Path, Files, Path], list[str]]:
    def command(folder: Path, files: Files, out: Path) -> list[str]:
        version, model, repository = folder.name, folder.parent.name, str(folder.parent.parent)
        chosen = ["--model", model, "--model-version", version, "--model-repo", repository, *options]
        file = str(getattr(files, source))
        return ["-m", "serving.cli", "score", file, "--out", str(out), "--overwrite", *chosen]

    return command


def _loop(rows: int) -> Callable[[Path, Files, Path], list[str]]:
    program = Path(__file__).with_name("loop.py")
    return lambda folder, files, out: [
        str(program), str(folder / "model.onnx"), str(files.features), str(out), str(rows)
    ]  # fmt: skip


def _by_hand(folder: Path, files: Files, out: Path) -> list[str]:
    return ["-m", "loadtest.batch.by_hand", str(folder), str(files.csv), str(out), "8192"]


WAYS = (
    Way("score_csv", "`epm score`, raw CSV to CSV", ".csv", _epm("csv"), True),
    Way("score_parquet", "`epm score`, raw Parquet to Parquet", ".parquet", _epm("parquet"), True),
    Way(
        "score_onnxruntime",
        "`epm score --backend onnxruntime`, raw Parquet to Parquet",
        ".parquet",
        _epm("parquet", "--backend", "onnxruntime"),
        True,
    ),
    Way("loop_1024", "onnxruntime in a loop, ready features, 1,024 rows a call", ".parquet", _loop(1024), False),
    Way("loop_8192", "onnxruntime in a loop, ready features, 8,192 rows a call", ".parquet", _loop(8192), False),
    Way("by_hand", "csv module, our features, onnxruntime, raw CSV to CSV", ".csv", _by_hand, False, most_rounds=1),
)
