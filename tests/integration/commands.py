"""`epm` as a person types it."""

import os
import subprocess
import sys


def epm(*arguments: object, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; the environment is that of the tests without their EPM_ variables, plus these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EPM_") or "JIT" in name}
    return subprocess.run(
        [sys.executable, "-m", "serving.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**kept, "PYTHONIOENCODING": "utf-8", **environment},
    )
