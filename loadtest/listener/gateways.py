"""Gateways with a listener of one's choice, from the sources that this process runs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest import servers


def gateway(
    model_repo: Path, listener: str, cpu: int | None = None, cache: str = "off", more: Sequence[str] = ()
) -> servers.Server:
    """`epm serve`, ready. more: options as `--loop-threads=2`. Raises ServerError."""
    return servers.Server(command(model_repo, listener, cache, more), cpu, PATIENCE)


def command(model_repo: Path, listener: str, cache: str = "off", more: Sequence[str] = ()) -> list[str]:
    """What starts it."""
    where = ["--model-repo", str(model_repo), "--grpc-port", "0", "--http-port", "0"]
    how = ["--listener", listener, "--cache", cache, "--log-level", "warning", *more]
    return [sys.executable, "-m", "serving.cli", "serve", *where, *how]


PATIENCE = 600.0
"""Seconds: kernels may have to be compiled, on a machine that does other things."""
