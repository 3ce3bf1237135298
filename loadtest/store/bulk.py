"""A bulk load through a real gateway, and the memory that its facts take in Redis and in replicas."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from loadtest.measure import MeasurementError
from loadtest.servers import Server
from loadtest.store.people import FIRST_MONTH, MONTHLY, MONTHLY_MODEL, MONTHS, draw_history
from loadtest.store.places import Place, metrics
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc

_WRITTEN_AT_ONCE = 1000
_ASKED_AT_ONCE = 4096
_PATIENCE = 600.0
_AS_OF = "2026-10-31T18:00:00Z"


@dataclass(frozen=True)
class Sizes:
    """entities: with 24 months each; roomy, tight: bytes of two replicas, one of which is too small for all."""

    entities: int
    roomy: int
    tight: int


FULL = Sizes(100_000, 256 << 20, 16 << 20)
QUICK = Sizes(3_000, 16 << 20, 1 << 20)


def measure(place: Place, sizes: Sizes) -> dict[str, Any]:
    """Everything, as plain values. Raises MeasurementError when something is not applied, found, or bounded."""
    path = place.folder / "attendance.csv"
    _say(f"writing {sizes.entities} entities x {MONTHS} months to a file")
    write_csv(path, sizes.entities, seed=1)
    place.client.flushall()
    empty = place.used_memory()
    with place.gateway(sizes.roomy) as gateway:
        first = _load(place, gateway, path, sizes.entities, applied=sizes.entities)
        used = place.used_memory() - empty
        second = _load(place, gateway, path, sizes.entities, applied=0)
        roomy = _replica(gateway, sizes)
    if roomy["entities"] != sizes.entities or roomy["evictions"]:
        raise MeasurementError(f"a replica with room for all has {roomy['entities']} of {sizes.entities} entities")
    with place.gateway(sizes.tight) as gateway:
        tight = _replica(gateway, sizes)
    if not tight["evictions"] or tight["bytes"] > tight["limit_bytes"]:
        raise MeasurementError(f"a replica that is too small: {tight}")
    return {
        "entities": sizes.entities,
        "months": MONTHS,
        "series": len(MONTHLY),
        "rows": sizes.entities * MONTHS,
        "file_bytes": path.stat().st_size,
        "load": first,
        "again": second,
        "redis_bytes_per_entity": used / sizes.entities,
        "record_bytes": _record_bytes(place),
        "roomy": roomy,
        "tight": tight,
    }


def write_csv(path: Path, entities: int, seed: int) -> None:
    """A file as an attendance system would write it: a row is one month of one employee."""
    random = np.random.default_rng(seed)
    months = [divmod(FIRST_MONTH[0] * 12 + FIRST_MONTH[1] - 1 + number, 12) for number in range(MONTHS)]
    form = ",".join(f"%.{decimals}f" for decimals in MONTHLY.values())
    forms = [f"%s,{year}-{month + 1:02},{form}\n" for year, month in months]
    with path.open("w") as file:
        file.write(f"employee,month,{','.join(MONTHLY)}\n")
        for start in range(0, entities, _WRITTEN_AT_ONCE):
            history = draw_history(random, min(_WRITTEN_AT_ONCE, entities - start)).transpose(0, 2, 1).tolist()
            for entity, rows in enumerate(history, start):
                name = f"E{entity:07}"
                file.write("".join([row % (name, *cells) for row, cells in zip(forms, rows, strict=True)]))


def _load(place: Place, gateway: Server, path: Path, entities: int, applied: int) -> dict[str, float]:
    """One `epm facts load`, whose progress goes to standard error. Raises MeasurementError."""
    command = [sys.executable, "-m", "serving.cli", "facts", "load", str(path), "--month", "month"]
    command += ["--as-of", _AS_OF, "--address", gateway.address, "--token-file", str(place.token_file)]
    used, began = gateway.usage().cpu_seconds, time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE, check=False)
    seconds = time.monotonic() - began
    expected = f"entities {entities}, rows {entities * MONTHS}, applied {applied}, rejected 0"
    if done.returncode or done.stdout.strip() != expected:
        raise MeasurementError(f"epm facts load: {done.returncode}: {done.stdout.strip()!r}, expected {expected!r}")
    _say(f"{done.stdout.strip()}: {seconds:.1f} s")
    usage = gateway.usage()
    return {
        "seconds": seconds,
        "applied": applied,
        "gateway_cpu_seconds": usage.cpu_seconds - used,
        "gateway_rss_mib": usage.rss_mib,
    }


def _replica(gateway: Server, sizes: Sizes) -> dict[str, float]:
    """Ask once for everybody; what the replica then is, by the gateway's metrics. Raises MeasurementError."""
    before, began = gateway.usage().rss_mib, time.monotonic()
    with grpc.insecure_channel(gateway.address) as channel:
        stub = prediction_pb2_grpc.PredictionServiceStub(channel)
        for start in range(0, sizes.entities, _ASKED_AT_ONCE):
            request = v1.PredictRequest(model=v1.ModelRef(name=MONTHLY_MODEL))
            request.entities.entity_type = "employee"
            last = min(start + _ASKED_AT_ONCE, sizes.entities)
            request.entities.ids.extend(f"E{entity:07}" for entity in range(start, last))
            if stub.Predict(request, timeout=60).row_errors:
                raise MeasurementError("an entity that was loaded was not found")
    seconds = time.monotonic() - began
    seen = metrics(gateway)
    found = {
        "seconds": seconds,
        "rss_mib": gateway.usage().rss_mib,
        "rss_before_mib": before,
        "entities": seen["epm_replica_entities"],
        "bytes": seen["epm_replica_bytes"],
        "limit_bytes": seen["epm_replica_limit_bytes"],
        "evictions": seen["epm_replica_evictions_total"],
    }
    _say(f"a replica of {found['limit_bytes'] / (1 << 20):.0f} MiB: {found}")
    return found


def _record_bytes(place: Place) -> float:
    names = [name for name, _ in zip(place.client.scan_iter("epm:facts:*", 1000), range(1000), strict=False)]
    return float(np.mean([place.client.strlen(name) for name in names]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
