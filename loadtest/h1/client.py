"""The load generator of `loadtest.h2` for JSON over HTTP/1.1: one request open on each of several kept connections.

The same distinct bodies, pacing and result; grpc-status 0 stands for HTTP 200 with a complete body, everything else is
an error of the result, so `Result.all_ok` and `Result.rate` mean the same.
"""

from dataclasses import replace

from loadtest.h1.connection import Connection, request
from loadtest.h2.client import Load, LoadError, Result, drive

__all__ = ["Load", "LoadError", "Result", "run"]


def run(load: Load) -> Result:
    """Put the load on; each of the load's connections x streams calls has a connection of its own.

    Raises LoadError when it cannot begin; what goes wrong later is counted in the result.
    """
    host = load.address.partition(",")[0]
    load = replace(load, connections=load.connections * load.streams, streams=1)
    return drive(load, lambda _: Connection(), lambda body: request(host, load.path, body))
