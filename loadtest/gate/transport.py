"""The running gateway beside a server that gives back what it gets, by the processor time that a call takes in each."""

import ctypes
import os
import time
from pathlib import Path

from loadtest import servers
from loadtest.bodies import PROTOCOLS, make_bodies
from loadtest.h2.client import Load, Result, run
from loadtest.listener.gateways import gateway as gateway_with
from loadtest.measure import MeasurementError, Work, check_echo, check_gateway
from loadtest.published import MODEL, newest_version
from serving.contract import Contract

PROTOCOL = next(protocol for protocol in PROTOCOLS if protocol.name == "kserve_v2")
BODIES, SEED, STREAMS, KEEP = 1000, 1, 8, 4
CALLS, WARM, TURNS = 200, 5, 40
"""Calls of a turn, a tenth of a second; turns of each server that do not count, and that do."""
_PATIENCE = 30.0


def gateway_beside_echo(repository: Path, rows: int, turns: int = TURNS, listener: str = "grpc_aio") -> float:
    """Processor time of a call of the echo over that of a call of the gateway with this listener.

    Raises MeasurementError, LoadError, ServerError, WrongAnswerError.
    """
    contract = Contract.load(newest_version(repository / MODEL) / "contract.json")
    work = Work(PROTOCOL, rows, make_bodies(PROTOCOL, contract, rows, BODIES, SEED))
    with gateway_with(repository, listener) as gateway, servers.echo() as echo:
        took: dict[servers.Server, list[float]] = {gateway: [], echo: []}
        for turn in range(WARM + turns):
            for server, times in took.items():
                seconds, result = _turn(server, work)
                if server is gateway:
                    check_gateway(work, result)
                else:
                    check_echo(work, result)
                if turn >= WARM:
                    times.append(seconds)
    ours, other = (min(times) for times in took.values())  # of the turn that was disturbed least
    return other / ours


def _turn(server: servers.Server, work: Work) -> tuple[float, Result]:
    """Processor seconds of a call, and the answers."""
    load = Load(
        address=server.address,
        path=work.protocol.path,
        bodies=work.bodies,
        streams=STREAMS,
        calls=CALLS,
        seconds=_PATIENCE,
        keep=KEEP,
    )
    before = processor_seconds(server.pid)
    result = run(load)
    took = processor_seconds(server.pid) - before
    if not result.all_ok:
        raise MeasurementError(f"grpc-status counts {dict(result.statuses)}, without status {dict(result.errors)}")
    return took / result.statuses[0], result


def processor_seconds(pid: int) -> float:
    """What all threads of a process have used since it began, to the nanosecond (clock_getcpuclockid(3)).

    Raises OSError when there is no such process.
    """
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error), f"process {pid}")
    return time.clock_gettime(clock.value)
