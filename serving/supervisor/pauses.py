"""How long to wait before a worker is started again."""

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0
SOON_SECONDS = 10.0
"""Who ends sooner after its start has not lived."""


class Pauses:
    """At once after a life; growing pauses for one that ends again and again at its beginning."""

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, seconds: float) -> float:
        """The pause in seconds after a life of so many."""
        if seconds >= SOON_SECONDS:
            self._next = 0.0
        pause, self._next = self._next, min(max(FIRST_SECONDS, 2 * self._next), LONGEST_SECONDS)
        return pause
