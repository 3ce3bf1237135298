"""What a figure was measured on and with: it stands beside the figure."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

MADE = (":!docs", ":!loadtest/results", ":!README.md")
"""What studies write themselves: it does not make the tree another one."""
LIBRARIES = ("grpcio", "protobuf", "uvloop", "numpy", "numba", "onnxruntime", "hpack")


def describe() -> dict[str, Any]:
    """Processor, cores, memory in GiB, kernel, library versions, commit, load of other processes before the run."""
    return {
        "cpu": _after("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(int((_after("/proc/meminfo", "MemTotal") or "0").split()[0]) / (1 << 20), 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "commit": _commit(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _after(path: str, key: str) -> str:
    """The value of the first `key: value` line of a file of /proc; empty when there is none."""
    try:
        for line in Path(path).read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit, marked when the tree differs from it; `unknown` outside a repository or before the first commit."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", ".", *MADE], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + (" with changes" if changed.stdout.strip() else "")
