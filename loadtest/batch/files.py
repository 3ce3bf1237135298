"""The files that are scored: the same rows as CSV, as Parquet, and as the features that our program makes of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadtest.rows import draw_rows
from serving.repository.served import ServedModel

DRAWN = 50_000
"""Rows drawn at a time."""
SEED = 20_261_122
ID = "employee"


@dataclass(frozen=True)
class Files:
    """Where they are. features: float32 columns, ready for the graph."""

    rows: int
    csv: Path
    parquet: Path
    features: Path

    def megabytes(self) -> dict[str, float]:
        """Of each."""
        named = {"csv": self.csv, "parquet": self.parquet, "features": self.features}
        return {name: round(path.stat().st_size / 1e6, 1) for name, path in named.items()}


def write(folder: Path, served: ServedModel, rows: int) -> Files:
    """Draw rows as loadtest/rows.py does and write them."""
    files = Files(
        rows,
        folder / f"rows-{rows}.csv",
        folder / f"rows-{rows}.parquet",
        folder / f"features-{rows}.parquet",
    )
    parquet = features = None
    with ExitStack() as stack:
        csv = stack.enter_context(files.csv.open("w", encoding="utf-8"))
        for texts, table in _tables(served, rows):
            made = _features(served, table)
            if parquet is None:
                csv.write(",".join(table.column_names) + "\n")
                parquet = stack.enter_context(pq.ParquetWriter(files.parquet, table.schema))
                features = stack.enter_context(pq.ParquetWriter(files.features, made.schema))
            csv.writelines(",".join(row) + "\n" for row in zip(*texts, strict=True))
            parquet.write_table(table)
            features.write_table(made)
    return files


def _tables(served: ServedModel, rows: int) -> Iterator[tuple[list[list[str]], Any]]:
    """Columns as texts, numbers as the shortest of their float32; and as a table with the numbers that these say."""
    for begin in range(0, rows, DRAWN):
        n = min(DRAWN, rows - begin)
        ids = [f"E{number:07}" for number in range(begin, begin + n)]
        texts, columns = [ids], {ID: pa.array(ids)}
        for name, cells in draw_rows(served.contract, n, SEED + begin).items():
            if isinstance(cells, list):
                texts.append(cells)
                columns[name] = pa.array([cell or None for cell in cells])
                continue
            written = ["" if np.isnan(cell) else str(cell) for cell in cells.astype(np.float32)]
            texts.append(written)
            columns[name] = pa.array([float(cell) if cell else None for cell in written], pa.float64())
        yield texts, pa.table(columns)


def _features(served: ServedModel, table: Any) -> Any:
    """What the graph is given for these rows."""
    columns: dict[str, Any] = {}
    for name in table.column_names[1:]:
        column = table.column(name)
        text = pa.types.is_string(column.type)
        columns[name] = column.to_pylist() if text else column.fill_null(np.nan).to_numpy()
    made = served.program.run(served.schema.assemble(columns, len(table))).features
    places = {f"f{place}": made[:, place].copy() for place in range(made.shape[1])}
    return pa.table({ID: table.column(ID), **places})
