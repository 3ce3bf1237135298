"""What a run reads and does: it may be gone on with only where that is still the same."""

import hashlib
import os
import stat
import sys
from contextlib import ExitStack
from pathlib import Path

from serving.batch.csv_source import CsvSource
from serving.batch.lines import Source
from serving.batch.options import CSV, STANDARD_INPUT, Options
from serving.batch.parquet_source import ParquetSource
from serving.batch.partial import Plan
from serving.repository.served import ServedModel
from serving.version import __version__


def opened(options: Options, stack: ExitStack) -> Source:
    """The input. Raises OSError, InvalidInput."""
    if options.file == STANDARD_INPUT:
        return CsvSource(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False), "standard input")
    if options.file_format == CSV:
        return CsvSource(stack.enter_context(open(options.file, "rb", buffering=0)), options.file)
    return ParquetSource(Path(options.file))


def appearance(file: str) -> str:
    """Size and time of a file: others after it was written to."""
    if file == STANDARD_INPUT:
        return "standard input"
    state = os.stat(file)
    if not stat.S_ISREG(state.st_mode):
        return "no regular file"
    return f"{state.st_size} bytes of {state.st_mtime_ns / 1e9:.9f}"


def plan(options: Options, served: ServedModel, source: Source, seen: str) -> Plan:
    """Everything that the output depends on. seen: the input's appearance before it was opened."""
    header = hashlib.sha256("\0".join(source.header).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return {
        "the input": f"{seen} with columns {header}",
        "--format": options.file_format,
        "--out-format": options.out_format,
        "the model": f"{served.name} version {served.version} ({served.digest[:12]})",
        "--backend": ",".join(backend.name for backend in served.backends),
        "--id": options.layout.id or "none",
        "--month": options.layout.month or "none",
        "--chunk-rows": str(options.chunk_rows),
        "epm": __version__,
    }
