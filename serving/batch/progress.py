"""How far a long run is, on standard error: often on a terminal, seldom in a log."""

import sys
import time

TERMINAL_SECONDS, LOG_SECONDS = 0.5, 10.0


class Progress:
    """Rows done since this process began, and what is left. before: rows that an earlier run had finished."""

    def __init__(self, size: int, done: int, before: int) -> None:
        self._size, self._first, self._before = size, done, before
        self._began = self._said = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = False

    def show(self, rows: int, done: int) -> None:
        """rows: dealt with, earlier runs included; done: of `size`, as the source counts."""
        now = time.monotonic()
        if now - self._said < (TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            return
        self._said, self._shown = now, True
        seconds = now - self._began
        rate = (rows - self._before) / seconds
        text = f"{rows:,} rows, {rate:,.0f} rows/s"
        if self._size and done > self._first:
            left = seconds * (self._size - done) / (done - self._first)
            text += f", {done / self._size:.0%}, {_clock(left)} left"
        print(f"\r\x1b[K{text}" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line to what comes after."""
        if self._terminal and self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
