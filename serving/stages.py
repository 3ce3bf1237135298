"""Where the time of a call goes: a stopwatch that goes with it, one lap a stage."""

from time import monotonic

NAMES = ("decode", "store", "features", "cache", "queue", "backend", "encode")
DECODE, STORE, FEATURES, CACHE, QUEUE, BACKEND, ENCODE = range(len(NAMES))
"""decode: bytes to columns. store: facts by id. features: rows checked, features computed. cache: kept predictions
looked up and kept. queue: waiting for a batch, a worker thread or the event loop. backend: the model. encode: margin,
warnings, bytes."""


class Stopwatch:
    """Of one call, or one message of a stream. Laps are taken one after the other, so they add up to the whole."""

    __slots__ = ("_last", "began", "rows", "seconds")

    def __init__(self) -> None:
        self.began = self._last = monotonic()
        self.seconds = [0.0] * len(NAMES)
        """By stage; 0 for one that the call did not come through."""
        self.rows = 0
        """How many the call asked for, as soon as that is known."""

    def restart(self) -> None:
        """Begin now: what was before, was not the gateway's time."""
        self.began = self._last = monotonic()

    def lap(self, stage: int) -> None:
        """All since the last lap was this stage."""
        now = monotonic()
        self.seconds[stage] += now - self._last
        self._last = now

    def lap_until(self, stage: int, moment: float) -> None:
        """All since the last lap until `moment`, as `time.monotonic()` counts, was this stage."""
        if moment > self._last:
            self.seconds[stage] += moment - self._last
            self._last = moment


class _Stopped(Stopwatch):
    """One for all calls that nobody measures."""

    __slots__ = ()

    def lap(self, stage: int) -> None:
        pass

    def lap_until(self, stage: int, moment: float) -> None:
        pass


UNTIMED = _Stopped()
