"""An event loop whose clock stands still while something runs, and jumps to the next timer when nothing does.

Hours pass in no time, always in the same order, and a hang is an error at once: nothing runs and no timer is left.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class HangError(AssertionError):
    """Everything waits for something that nothing will bring about."""


class _Jump(selectors.SelectSelector):
    """Waits by moving the loop's clock."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise HangError("nothing runs, and no timer is left")
        self.loop.now += max(timeout, 0.0)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Without sockets and threads. `now`: seconds, as `time()` gives them."""

    now = 1000.0

    def __init__(self) -> None:
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)
        self.complaints: list[str] = []
        """What nobody handled: an error that was never looked at, a task that was forgotten."""
        self.set_exception_handler(lambda loop, context: self.complaints.append(str(context["message"])))

    def time(self) -> float:
        """The simulated clock; its start is arbitrary, as that of time.monotonic() is."""
        return self.now

    @property
    def timers(self) -> int:
        """Timers that are still to fire."""
        return sum(not timer.cancelled() for timer in self._scheduled)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """As asyncio.run, in virtual time. Raises HangError; AssertionError when something was left unhandled."""
    loop = VirtualTimeLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main)
    if loop.complaints:
        raise AssertionError("; ".join(loop.complaints))
    return result
