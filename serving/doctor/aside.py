"""Runs what may block in a thread that nobody waits for when its time is over."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """What `work` returns or raises. Cancelled, it goes on unheard: the threads of an event loop would be joined."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            value = work()
        except Exception as error:  # of whatever kind: it is the caller's
            _tell(loop, future, future.set_exception, error)
        else:
            _tell(loop, future, future.set_result, value)

    threading.Thread(target=run, daemon=True).start()
    return await future


def _tell(
    loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", tell: Callable[[Any], None], value: Any
) -> None:
    def unless_done() -> None:
        if not future.done():
            tell(value)

    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(unless_done)
