"""Answers as CSV: bytes of whole rows, the same as `epm predict --format csv` prints."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from serving.batch.files import create
from serving.batch.tables import Table, Texts
from serving.csv_text import write_kernels
from serving.csv_text.cell_kernels import POWERS
from serving.csv_text.columns import bounds, packed

_QUOTED = re.compile(r'[,"\r\n]')


class CsvPart:
    """Rows of one part, without a header."""

    def __init__(self, path: Path, id_column: str, outline: Table) -> None:
        self._file = create(path)

    def write(self, ids: Sequence[str], table: Table) -> None:
        """Append rows."""
        if ids:
            self._file.write(rows(ids, table))

    def close(self) -> BinaryIO:
        """What is to be synced and closed."""
        return self._file


def merge(parts: Sequence[Path], path: Path, id_column: str, outline: Table) -> BinaryIO:
    """A header, and all parts."""
    file = create(path)
    file.write((",".join(map(cell, [id_column, *outline])) + "\n").encode())
    for part in parts:
        with part.open("rb") as rows_of_part:
            shutil.copyfileobj(rows_of_part, file, 1 << 20)
    return file


def cell(text: str) -> str:
    """A text as a cell, in quotes where it has to be."""
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def rows(ids: Sequence[str], table: Table) -> memoryview:
    """Rows as bytes: numbers exact, in the shortest text that gives the same float32 back."""
    n = len(ids)
    columns = list(table.values())
    measures = [column for column in columns if not isinstance(column, Texts) and column.dtype == np.float32]
    digits, places, odd = _digits(np.stack(measures, axis=1) if measures else np.empty((n, 0), np.float32))
    pieces, codes = _encoded(ids), [np.arange(n)]
    is_number, place, measure = [False], [0], 0
    for column in columns:
        if not isinstance(column, Texts) and column.dtype == np.float32:
            is_number.append(True)
            place.append(measure)
            measure += 1
            continue
        texts = column if isinstance(column, Texts) else _whole(column)
        is_number.append(False)
        place.append(len(codes))
        codes.append(texts.codes + len(pieces))
        pieces += [cell(text).encode() for text in texts.different]
    digits[places < 0] = np.arange(len(odd)) + len(pieces)
    pieces += odd
    limits = bounds(pieces)
    sizes = np.diff(limits)
    of_texts = sum(int(sizes[code].sum()) for code in codes)
    room = of_texts + sum(map(len, odd)) + n * (measure * write_kernels.ROOM + len(is_number))
    out, index = np.empty(room, np.uint8), np.stack(codes, axis=1)
    end = write_kernels.write(np.array(is_number), np.array(place), digits, places, index, packed(pieces), limits, out)
    return out.data[:end]


def _digits(values: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int8], list[bytes]]:
    """Digits and places as `write_kernels.write` takes them, and the texts of numbers that have none, in order."""
    digits, places = np.empty(values.shape, np.int64), np.empty(values.shape, np.int8)
    odd = np.empty(values.size, np.int64)
    count = write_kernels.shortest(values, POWERS, digits, places, odd)
    flat = values.reshape(-1)
    return digits, places, [str(flat[number]).encode() for number in odd[:count].tolist()]


def _whole(column: NDArray[Any]) -> Texts:
    different, codes = np.unique(column, return_inverse=True)
    return Texts(list(map(str, different.tolist())), codes.astype(np.int64))


def _encoded(ids: Sequence[str]) -> list[bytes]:
    if _QUOTED.search("".join(ids)):
        return [cell(id_).encode() for id_ in ids]
    return [id_.encode() for id_ in ids]
