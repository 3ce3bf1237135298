"""How long a backend is waited for where another one could answer instead."""

TIMES = 10.0
"""So many times what it usually takes."""
LEAST_SECONDS = 0.1
"""Whatever it usually takes."""
RECENT = 1 / 16
"""By which share of the difference a quicker answer is learned from; a slower one is at once."""
GROWTH = 1.25
"""By how much it is waited for longer after it was waited for in vain."""


class Patience:
    """Of those who ask one backend.

    A deadline alone would not do: where one caller has none, a server that stands still would keep the others, who have
    one, from the backend behind it.
    """

    def __init__(self) -> None:
        self._usual: float | None = None

    def until(self, deadline: float | None, now: float) -> float | None:
        """When to turn to the other one: at half of what is left, or earlier; None for never."""
        half = None if deadline is None else now + (deadline - now) / 2
        if self._usual is None:
            return half
        enough = now + max(TIMES * self._usual, LEAST_SECONDS)
        return enough if half is None else min(half, enough)

    def answered(self, seconds: float) -> None:
        """It has taken so long."""
        usual = seconds if self._usual is None else self._usual
        self._usual = max(seconds, usual + RECENT * (seconds - usual))

    def in_vain(self, seconds: float) -> None:
        """It was left after so long: it may just have become slower, so the next time is longer."""
        if self._usual is not None:
            self._usual = max(self._usual, GROWTH * seconds / TIMES)
