"""A CSV file as it came: header, texts, and the line of each row, so that a refusal can say where."""

import csv
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporters.errors import DataError

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True)
class Sheet:
    """columns: name -> texts of n rows, as in the file; lines: where each row begins, the header being line 1."""

    columns: dict[str, list[str]]
    lines: list[int]
    sha256: str
    """Digest of the file."""


def read(path: Path) -> Sheet:
    """Read a UTF-8 file with commas, with or without a byte-order mark.

    Raises DataError naming the line: not readable, not UTF-8, empty, a header that is empty or there twice, a row
    with more or fewer cells than the header.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: line {line}: byte 0x{content[error.start]:02x} is not UTF-8: save the file as UTF-8"
        ) from error
    records = _records(path, text)
    if not records:
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    header = records[0][1]
    _check_header(path, header)
    rows = [(line, cells) for line, cells in records[1:] if cells]  # a blank line is no row
    if not rows:
        raise DataError(f"{path}: no rows below the header")
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{path}: line {line}: got {len(cells)} cells, expected {len(header)} as in the header")
    columns = dict(zip(header, map(list, zip(*(cells for _, cells in rows), strict=True)), strict=True))
    return Sheet(columns, [line for line, _ in rows], hashlib.sha256(content).hexdigest())


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Every DataError that is raised within begins with the name of the file."""
    try:
        yield
    except DataError as error:
        if str(path) in error.message:
            raise
        raise DataError(f"{path}: {error.message}", field=error.field) from error


def all_numbers(texts: list[str]) -> bool:
    """Whether every cell that is not empty is a number, and there is one."""
    given = set(texts) - {""}
    return bool(given) and all(NUMBER.fullmatch(text) for text in given)


def _records(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """(line on which it begins, its cells) of every record, blank lines at the top left out."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    records: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for cells in reader:
            if cells or records:
                records.append((begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: line {begins}: {error}") from error
    return records


def _check_header(path: Path, header: list[str]) -> None:
    for number, name in enumerate(header, start=1):
        if not name.strip():
            raise DataError(f"{path}: line 1: cell {number} of the header is empty; expected the name of a column")
        if header.index(name) != number - 1:
            raise DataError(
                f"{path}: line 1: column {name!r} is there twice, in cells {header.index(name) + 1} and {number}"
            )
