"""What a long command is doing, on standard error, so that standard output stays for results."""

import sys
import time

_START = time.monotonic()


def say(text: str) -> None:
    """One line, with the seconds since the program began."""
    print(f"[{time.monotonic() - _START:6.1f} s] {text}", file=sys.stderr, flush=True)
