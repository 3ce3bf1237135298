"""Calls that a loop handed over, answered by the same handlers as with grpc.aio."""

import asyncio
import logging
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import grpc
import grpc.aio

from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.methods import kind, trailers
from serving.listeners.h2.rings import Record

log = logging.getLogger("epm.grpc")

Say = Callable[[int, "CallContext", int, bytes | None, bytes], None]
"""(kind of the record, the call, status or count, message, trailers)"""
GZIP, DEFLATE = 1, 2
UNKNOWN_FAILURE = "the gateway failed on this request; its log says where"
LATE = (grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed")


class Aborted(Exception):
    """A handler has ended its call with a status."""


class Ended(Exception):
    """The end of a call that a handler did not choose."""

    def __init__(self, status: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class CallContext:
    """What a handler sees of its call, as of `grpc.aio.ServicerContext`."""

    def __init__(self, record: Record, say: Say, max_message: int) -> None:
        self.stream, self.generation, self.kind = record.stream, record.generation, -1
        self.deadline = record.deadline / 1e9 if record.deadline else None
        self.task: asyncio.Task[None] | None = None
        self.ended = b""
        self.begun = False
        """Whether its task has: one that is cancelled before never comes to say anything."""
        self.failed: Ended | None = None
        """Why the call cannot go on: a message that cannot be read, or its deadline."""
        self._metadata = record.metadata
        self._say, self._max_message = say, max_message
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What of the call's headers handlers ask for."""
        data, place, pairs = self._metadata, 0, []
        while place < len(data):
            name, value = (int.from_bytes(data[at_ : at_ + 4], "little") for at_ in (place, place + 4))
            place += 8
            pairs.append(
                (
                    data[place : place + name].decode("latin-1"),
                    data[place + name : place + name + value].decode("latin-1"),
                )
            )
            place += name + value
        return tuple(pairs)

    def time_remaining(self) -> float | None:
        """Seconds to the deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call."""
        self.ended = trailers(code.value[0], details, trailing_metadata)
        raise Aborted

    async def read(self) -> Any:
        """The next message, or EOF."""
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)
            return grpc.aio.EOF
        if self.kind == at.CLIENT_STREAM:
            self._say(ring.TAKEN, self, 1, None, b"")
        return message

    async def write(self, message: bytes) -> None:
        """One message of the answer."""
        self._say(ring.ANSWER, self, 1 if self.kind == at.STREAMING else 0, message, b"")

    def take(self, record: Record) -> None:
        """A message came."""
        try:
            self._messages.put_nowait(self.message_of(record))
        except Ended as ended:
            self.cut_off(ended)

    def cut_off(self, why: Ended) -> None:
        """Stop the handler; the call ends with this."""
        self.failed = self.failed or why
        if self.task is not None and self.begun:
            self.task.cancel()

    def take_end(self) -> None:
        """The client has sent everything."""
        self._messages.put_nowait(None)

    def message_of(self, record: Record) -> bytes:
        """The message of a record. Raises Ended where it cannot be read."""
        if record.flags & ring.TOO_LARGE:
            message = f"SERVER: Received message larger than max ({record.flags >> 8} vs. {self._max_message})"
            raise Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        if record.flags:
            return decompressed(record.body, record.flags, self._max_message)
        return record.body


def decompressed(body: bytes, how: int, max_message: int) -> bytes:
    """A compressed message. Raises Ended."""
    if how not in (GZIP, DEFLATE):
        raise Ended(
            grpc.StatusCode.UNIMPLEMENTED, "the message is compressed in a way that is not known here: use gzip"
        )
    reader = zlib.decompressobj(31 if how == GZIP else 15)
    try:
        message = reader.decompress(body, max_message + 1)
    except zlib.error:
        raise Ended(grpc.StatusCode.INTERNAL, "the message cannot be decompressed") from None
    if len(message) > max_message:
        raise Ended(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"the message is larger than {max_message} bytes when decompressed"
        )
    if not reader.eof:
        raise Ended(grpc.StatusCode.INTERNAL, "the message cannot be decompressed")
    return message


class HandedCalls:
    """The calls of one loop that Python answers."""

    def __init__(self, handlers: Mapping[int, grpc.RpcMethodHandler], say: Say, max_message: int) -> None:
        """handlers: by number of the method."""
        self._handlers, self._say, self._max_message = handlers, say, max_message
        self._calls: dict[tuple[int, int], CallContext] = {}

    @property
    def running(self) -> int:
        """How many there are."""
        return len(self._calls)

    def end_all(self, why: Ended) -> None:
        """End what still runs: streams that have no end of their own."""
        for context in list(self._calls.values()):
            context.cut_off(why)

    def take(self, record: Record) -> None:
        """A record from the ring."""
        key = (record.stream, record.generation)
        if record.kind == ring.CALL:
            context = self._calls[key] = CallContext(record, self._say, self._max_message)
            context.task = asyncio.ensure_future(self._run(key, context, record))
            return
        found = self._calls.get(key)
        if found is None:
            return
        if record.kind == ring.MESSAGE:
            found.take(record)
        elif record.kind == ring.END:
            found.take_end()
        elif found.task is not None:
            found.generation = -1  # nobody listens
            found.task.cancel()
            del self._calls[key]  # a task that is cancelled before it began never comes to do so

    async def _run(self, key: tuple[int, int], context: CallContext, record: Record) -> None:
        handler = self._handlers[record.method]
        context.kind = kind(handler)
        message, timer, context.begun = None, None, True
        if (seconds := context.time_remaining()) is not None:
            timer = asyncio.get_running_loop().call_later(seconds, context.cut_off, Ended(*LATE))
        try:
            if context.failed is not None:
                raise context.failed
            message = await _answer(handler, context, record)
        except Aborted:
            pass
        except Ended as ended:
            context.ended = trailers(ended.status.value[0], ended.message)
        except asyncio.CancelledError:
            why = context.failed or Ended(grpc.StatusCode.CANCELLED, "the call was cancelled")
            context.ended = trailers(why.status.value[0], why.message)
        except Exception as error:  # of whatever kind: what a handler lets through is a defect of ours
            log.error("defect in a handler: %s", type(error).__name__)
            context.ended = trailers(grpc.StatusCode.INTERNAL.value[0], UNKNOWN_FAILURE)
        finally:
            if timer is not None:
                timer.cancel()
            self._calls.pop(key, None)
        self._say(ring.FINISH, context, 0, message, context.ended)


async def _answer(handler: Any, context: CallContext, record: Record) -> bytes | None:
    """The message of a unary answer; None where messages were written on the way."""
    decode = partial(_decoded, handler.request_deserializer or _same)
    encode = handler.response_serializer or _same
    if context.kind == at.UNARY:
        answer: Awaitable[Any] = handler.unary_unary(decode(context.message_of(record)), context)
        return bytes(encode(await answer))
    if context.kind == at.SERVER_STREAM:
        async for message in handler.unary_stream(decode(context.message_of(record)), context):
            await context.write(encode(message))
        return None
    if context.kind == at.CLIENT_STREAM:
        return bytes(encode(await handler.stream_unary(_requests(context, decode), context)))
    answers = handler.stream_stream(_requests(context, decode), context)
    if hasattr(answers, "__aiter__"):
        async for message in answers:
            await context.write(encode(message))
    else:
        await answers
    return None


async def _requests(context: CallContext, decode: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    while (message := await context.read()) is not grpc.aio.EOF:
        yield decode(message)


def _decoded(decode: Callable[[bytes], Any], message: bytes) -> Any:
    """A message as its handler takes it. Raises Ended where it is none."""
    try:
        return decode(message)
    except Exception:  # of whatever kind the reader's are: the message is wrong
        raise Ended(grpc.StatusCode.INTERNAL, "the message cannot be read: it is not of the method's kind") from None


def _same(message: bytes) -> bytes:
    return message
