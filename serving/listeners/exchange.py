"""Questions between a supervisor and its workers, over Unix sockets in a folder that only their user may enter.

One connection is one question: a line. The answer is its length in 8 bytes, then the answer: what a process that was
ended in the middle has sent of one is never taken for the whole.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

LAST = "# the last\n"
"""Follows the metrics that a worker which has drained leaves behind."""
PING = b"ping"
METRICS = b"metrics"

Answers = Mapping[bytes, Callable[[], Awaitable[bytes]]]


async def answer(path: str, answers: Answers) -> asyncio.Server:
    """Answer questions there, from now on. Raises OSError."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, ValueError, KeyError):  # who asked has left, or asked for nothing that there is
                said = await answers[(await reader.readline()).rstrip(b"\n")]()
                writer.write(len(said).to_bytes(8, "little") + said)
                await writer.drain()
        finally:
            writer.close()

    return await asyncio.start_unix_server(handle, path)


async def ask(path: str, question: bytes, seconds: float) -> bytes | None:
    """The answer; None when nobody listens there, or none came in that time."""
    with suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(question + b"\n")
                return await reader.readexactly(int.from_bytes(await reader.readexactly(8), "little"))
            finally:
                writer.close()
    return None


def leave(metrics: bytes) -> None:
    """What a worker that has drained has counted, for its supervisor, which reads its standard output."""
    with suppress(OSError):  # it is gone
        print(metrics.decode() + LAST, end="", flush=True)
