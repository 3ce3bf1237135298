"""Answers as Parquet: one row group a chunk, so that it makes no difference which chunks stood in which part."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from serving.batch.files import create
from serving.batch.parquet_source import pyarrow
from serving.batch.tables import Table, Texts


class ParquetPart:
    """Rows of one part."""

    def __init__(self, path: Path, id_column: str, outline: Table) -> None:
        self._file = create(path)
        self._id = id_column
        self._writer = _writer(self._file, _table(id_column, [], outline).schema)

    def write(self, ids: Sequence[str], table: Table) -> None:
        """Append rows."""
        if ids:
            self._writer.write_table(_table(self._id, ids, table), row_group_size=len(ids))

    def close(self) -> BinaryIO:
        """What is to be synced and closed."""
        self._writer.close()
        return self._file


def merge(parts: Sequence[Path], path: Path, id_column: str, outline: Table) -> BinaryIO:
    """All row groups of all parts."""
    pq, file = pyarrow().parquet, create(path)
    writer = _writer(file, _table(id_column, [], outline).schema)
    for part in parts:
        with pq.ParquetFile(part) as rows:
            for group in range(rows.num_row_groups):
                table = rows.read_row_group(group, use_threads=False)
                writer.write_table(table, row_group_size=len(table))
    writer.close()
    return file


def _writer(file: BinaryIO, schema: Any) -> Any:
    return pyarrow().parquet.ParquetWriter(file, schema, compression="snappy", store_schema=False)


def _table(id_column: str, ids: Sequence[str], table: Table) -> Any:
    pa = pyarrow()
    columns = {id_column: pa.array(ids, pa.string())}
    for name, column in table.items():
        if isinstance(column, Texts):
            texts = pa.array(column.different, pa.string())
            columns[name] = texts.take(pa.array(column.codes)) if len(column.codes) else pa.array([], pa.string())
        else:
            columns[name] = pa.array(np.ascontiguousarray(column))
    return pa.table(columns)
