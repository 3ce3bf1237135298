"""A line of every call in a file, as h2load's --log-file has it: start, status, microseconds, separated by tabs.

The start is when the call was due, in microseconds since 1970. The status is the grpc-status, not HTTP's.
"""

from pathlib import Path

import numpy as np

from loadtest.h2.client import Result


def append(file: Path, result: Result) -> None:
    """Add the calls of a result, in the order of their answers."""
    starts = (result.epoch * 1e6 + result.due_ns / 1e3).astype(np.int64)
    columns = zip(starts.tolist(), result.codes.tolist(), (result.latencies_ns // 1000).tolist(), strict=True)
    with file.open("a", encoding="ascii") as out:
        out.writelines(f"{start}\t{code}\t{took}\n" for start, code, took in columns)
