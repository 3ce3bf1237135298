"""The smallest body that still does it, found by leaving things out."""

from collections.abc import Awaitable, Callable

MOST_TRIES = 400


async def shrunk(body: bytes, still: Callable[[bytes], Awaitable[bool]], tries: int = MOST_TRIES) -> bytes:
    """A part of `body` of which `still` is true, as it is of `body`; smaller and smaller parts are left out."""
    size = len(body) // 2
    while size and tries > 0:
        at, removed = 0, False
        while at < len(body) and tries > 0:
            shorter = body[:at] + body[at + size :]
            tries -= 1
            if await still(shorter):
                body, removed = shorter, True
            else:
                at += size
        if not removed or size > len(body):
            size = min(size // 2, len(body))
    return body
