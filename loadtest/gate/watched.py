"""The ratios that are watched, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtest.gate import kernels, transport
from loadtest.gate.turns import Effort, Pair, times_as_fast

ONCE = Effort()
MANY = 1024
"""Rows of features: with few of them a call costs as much as the kernel, and twice as slow is not seen."""


@dataclass(frozen=True)
class Watched:
    """One ratio: how many times as fast ours is as the other; `measure` may be called again and again.

    factor: by which it may be worse than recorded, when it is recorded for the first time; elsewhere: the same on a
    kind of processor that nothing was recorded on, where the other side may be another code for another machine.
    """

    name: str
    what: str
    study: str
    measure: Callable[[Path], float]
    factor: float = 1.6
    elsewhere: float = 1.6


def in_turns(prepare: Callable[[Path], Pair]) -> Callable[[Path], float]:
    """A measurement of what `prepare` makes, which it makes once."""
    made: list[Pair] = []

    def measure(repository: Path) -> float:
        if not made:
            made.append(prepare(repository))
        return times_as_fast(made[0], ONCE)

    return measure


def watched() -> list[Watched]:
    """All of them; the fewest that still see each kernel and the way through."""
    return (
        [
            Watched(
                f"forest-{rows}",
                f"grades of {rows} row{'s' * (rows > 1)}, our forest beside onnxruntime",
                "python -m loadtest.backends.forest",
                in_turns(lambda repository, rows=rows: kernels.forest(repository, rows)),
                elsewhere=4.0,
            )
            for rows in (1, 64)
        ]
        + [
            Watched(
                f"features-{name}",
                f"features of {MANY:,} rows, the program of {name} beside a Numba function by hand",
                "python -m loadtest.features",
                in_turns(lambda _, make=make: make(MANY)),
            )
            for name, make in (("facts", kernels.facts), ("histories", kernels.histories))
        ]
        + [
            Watched(
                "cache-64",
                "64 known rows by the prediction cache, beside onnxruntime computing them",
                "python -m loadtest.backends.cache",
                in_turns(lambda repository: kernels.cache(repository, 64)),
                elsewhere=4.0,
            ),
            Watched(
                "gateway-1",
                "processor time of a call of 1 row, KServe v2, the whole gateway beside a bare echo",
                "python -m loadtest.protocols",
                lambda repository: transport.gateway_beside_echo(repository, 1),
                factor=1.75,
                elsewhere=1.75,
            ),
        ]
        + [
            Watched(
                f"listener-{rows}",
                f"processor time of a call of {rows} row{'s' * (rows > 1)}, KServe v2, compiled listener beside echo",
                "python -m loadtest.listener",
                lambda repository, rows=rows: transport.gateway_beside_echo(repository, rows, listener="h2"),
                factor=1.75,
                elsewhere=2.5,
            )
            for rows in (1, 64)
        ]
    )
