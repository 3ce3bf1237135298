"""What a check has found, and what to do about it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """A gateway serves, but less well or less safely than it could."""
    FAILED = "FAILED"
    """A gateway does not start, or does not serve what it is set up to."""


@dataclass(frozen=True)
class Finding:
    """found: in words, with no secret and nothing of people. advice: what to do, empty when there is nothing."""

    level: Level
    found: str
    advice: str = ""


Findings = AsyncIterator[Finding]
"""A check is an async generator: what it has found stays when its time is over."""


def ok(found: str) -> Finding:
    return Finding(Level.OK, found)


def warning(found: str, advice: str) -> Finding:
    return Finding(Level.WARNING, found, advice)


def failed(found: str, advice: str) -> Finding:
    return Finding(Level.FAILED, found, advice)
