"""What a gateway itself says it has answered, held against what the client saw."""

import re
import time
from collections import Counter

import grpc

from loadtest.h2.client import UNANSWERED, Result
from loadtest.measure import MeasurementError
from loadtest.servers import read_metrics

_SAMPLE = re.compile(r'^epm_requests_total\{.*?status="(?P<status>\w+)".*?\} (?P<value>\S+)$', re.MULTILINE)
_ROWS = re.compile(r"^(?P<name>epm_cache_\w+)(?:\{(?P<labels>.*?)\})? (?P<value>\S+)$", re.MULTILINE)
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_PATIENCE = 2.0
"""Seconds a server gets to count what it has just answered."""

Counts = Counter[str]
"""Calls by the name of their grpc-status."""


def text(http: str) -> str:
    """The metrics of the gateway of this machine whose HTTP is at HOST:PORT. Raises MeasurementError, LoadError."""
    try:
        return read_metrics(http)
    except (OSError, ValueError) as error:
        raise MeasurementError(f"http://{http}/metrics: {error}, expected the metrics of a gateway") from error


def answered(http: str) -> Counts:
    """Calls answered so far. Empty when the gateway has not answered any."""
    counts: Counts = Counter()
    for sample in _SAMPLE.finditer(text(http)):
        counts[sample["status"]] += int(float(sample["value"]))
    return counts


def kept(http: str) -> dict[str, float]:
    """What is kept of predictions: name and labels of each sample -> its value."""
    return {
        f"{found['name']} {found['labels'] or ''}".strip(): float(found["value"])
        for found in _ROWS.finditer(text(http))
    }


def check(http: str, before: Counts, result: Result) -> Counts:
    """Calls that the server says it answered since `before`. Raises MeasurementError where the client saw others.

    Calls that the client gave up may or may not be among the server's.
    """
    seen = Counter({_NAMES.get(status, str(status)): calls for status, calls in result.statuses.items()})
    give_up = time.monotonic() + _PATIENCE
    while True:
        told = Counter({status: calls for status, calls in (answered(http) - before).items() if calls})
        if _agree(seen, told, result.errors[UNANSWERED]):
            return told
        if time.monotonic() > give_up:
            raise MeasurementError(
                f"the client counts {dict(seen)}, {result.errors[UNANSWERED]} unanswered; the server {dict(told)}"
            )
        time.sleep(0.05)


def _agree(seen: Counts, told: Counts, unanswered: int) -> bool:
    """Whether both saw the same; the server may have up to `unanswered` more."""
    missing, more = seen - told, told - seen
    return not missing and more.total() <= unanswered
