"""A real gateway in a process of its own, on free ports, stopped by its process id."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEPT = ("EPM_JIT_CACHE_DIR", "EPM_LISTENER")
"""Settings of the environment that gateways of tests get as well."""
STUMBLED = ("Exception ignored", "IndexError")
"""What a build of the kernels with checks (NUMBA_BOUNDSCHECK=1) says of a place outside of an array."""


@dataclass(frozen=True)
class Running:
    """A gateway that answers. `log` is what it has written to standard error so far."""

    grpc: str
    http: str
    process: subprocess.Popen[str]
    log: list[str]


@contextlib.contextmanager
def gateway(repository: Path, **settings: object) -> Iterator[Running]:
    """Start `epm serve` on `repository`; settings become its options."""
    options = {"model_repo": repository, "grpc_port": 0, "http_port": 0, **settings}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.cli", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("EPM_") or name in KEPT},
    )
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(iter(process.stderr.readline, "")), daemon=True)
    reader.start()
    try:
        line = process.stdout.readline()
        if not line.startswith("ready "):
            process.wait(10)
            reader.join(10)
            raise RuntimeError(f"the gateway did not start: {''.join(log)}")
        ports = dict(part.split("=", 1) for part in line.split()[1:])
        yield Running(ports["grpc"], ports["http"], process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(10)
        process.stdout.close()
        process.stderr.close()
    if os.environ.get("NUMBA_BOUNDSCHECK") == "1" and any(word in line for word in STUMBLED for line in log):
        raise AssertionError(f"a kernel of the gateway went outside of an array: {''.join(log)[-3000:]}")
