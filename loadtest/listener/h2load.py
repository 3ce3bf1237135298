"""`h2load` of nghttp2 with one body, to hold the compiled load generator against: it sends the same body for ever."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from loadtest.h2 import frames
from loadtest.listener.load import CONNECTIONS, STREAMS
from loadtest.measure import MeasurementError

PROGRAM = "h2load"
_RATE = re.compile(r"finished in \S+, ([\d.]+) req/s")
_DONE = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored")


def rate(address: str, path: str, body: bytes, seconds: int) -> float | None:
    """Requests/s over whole seconds; None where the program is not there. Raises MeasurementError when some failed.

    It looks at the HTTP status only. It runs where this process runs: on the client's processor.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "body"
        data.write_bytes(frames.message(body))
        how = [f"--clients={CONNECTIONS}", f"--max-concurrent-streams={STREAMS}", f"--duration={seconds}"]
        headers = [f"--header={header}" for header in ("te: trailers", "content-type: application/grpc")]
        command = [program, *how, *headers, f"--data={data}", f"http://{address}{path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    return parsed(done.stdout)


def parsed(output: str) -> float:
    """Requests/s that h2load tells of. Raises MeasurementError."""
    finished, counted = _RATE.search(output), _DONE.search(output)
    if not finished or not counted or int(counted[1]) == 0 or int(counted[2]) or int(counted[3]):
        raise MeasurementError(f"{PROGRAM}: {' '.join(output.split())[-300:]}")
    return float(finished[1])
