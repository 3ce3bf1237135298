"""Request bodies with the methods they are for, and the file they are kept in.

The file: the line `epm-bodies 1`, a line of JSON `{"name": ..., "rows": ..., "methods": [...], "count": ...}`, then
`count` records: number of the method (2 bytes), length of the body (4 bytes), both little-endian, and the body. Bodies
are request messages without the gRPC prefix. Rows is how many a body has, 0 where they differ or nobody knows.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.measure import MeasurementError

_MAGIC = b"epm-bodies 1"
_RECORD = struct.Struct("<HI")


@dataclass(frozen=True)
class Recording:
    """Bodies to ask: `methods[i]` is the path of the method that `bodies[i]` is for."""

    name: str
    rows: int
    methods: Sequence[str]
    bodies: Sequence[bytes]


def write(recording: Recording, file: Path) -> None:
    """Replace the file. Raises OSError."""
    numbers = {method: number for number, method in enumerate(dict.fromkeys(recording.methods))}
    about = {
        "name": recording.name,
        "rows": recording.rows,
        "methods": list(numbers),
        "count": len(recording.bodies),
    }
    with file.open("wb") as out:
        out.write(_MAGIC + b"\n" + json.dumps(about).encode() + b"\n")
        for method, body in zip(recording.methods, recording.bodies, strict=True):
            out.write(_RECORD.pack(numbers[method], len(body)) + body)


def read(file: Path) -> Recording:
    """Raises MeasurementError where it is no such file, or cut off; OSError."""
    magic, _, rest = file.read_bytes().partition(b"\n")
    if magic != _MAGIC:
        raise MeasurementError(f"{file}: begins with {magic[:20]!r}, expected {_MAGIC!r}")
    line, _, data = rest.partition(b"\n")
    try:
        about = json.loads(line)
        known = [str(method) for method in about["methods"]]
        name, rows, expected = str(about["name"]), int(about["rows"]), int(about["count"])
        methods, bodies, at = [], [], 0
        while at < len(data):
            number, size = _RECORD.unpack_from(data, at)
            at += _RECORD.size + size
            methods.append(known[number])
            bodies.append(data[at - size : at])
    except (ValueError, KeyError, TypeError, IndexError, ArithmeticError) as error:
        raise MeasurementError(f"{file}: cannot be read ({type(error).__name__}: {error})") from error
    except struct.error as error:
        raise MeasurementError(f"{file}: cut off after {len(bodies)} bodies, expected {expected}") from error
    if len(bodies) != expected or at != len(data):
        raise MeasurementError(f"{file}: cut off in body {len(bodies)}, expected {expected}")
    return Recording(name, rows, methods, bodies)
