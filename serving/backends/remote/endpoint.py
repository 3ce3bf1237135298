"""A channel to one address, and what its failures are called."""

import asyncio
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

import grpc
from grpc import ChannelConnectivity, StatusCode

from serving.backends.remote.addresses import Address

MOST_BYTES = 64 << 20
"""Of one answer."""
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),  # servers in their default settings cut off who pings without asking
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # what gRPC calls so is how long it tries to connect
)
_WORDS = (
    ("connection refused", "the connection is refused"),
    ("hostname verification", "its certificate is for another name"),
    ("certificate", "its certificate is not trusted"),
    ("handshake", "no TLS handshake"),
    ("no route", "there is no route to it"),
    ("unreachable", "there is no route to it"),
    ("timed out", "no connection in time"),
    ("timeout", "no connection in time"),
    ("failed to connect", "no connection"),
    ("reset", "the connection is lost"),
    ("closed", "the connection is lost"),
    ("closing", "the connection is lost"),
    ("goaway", "the connection is lost"),
    ("cancelling all calls", "the connection is lost"),
)
"""What gRPC says of a connection, and what is told of it. Other details are the server's and may quote a row."""
_FULL = ("scheduling queue", "maximum queue size")
"""What TF Serving and Triton say with UNAVAILABLE when their queue is full."""
_CODES = {
    StatusCode.NOT_FOUND: "it does not serve this version",
    StatusCode.UNIMPLEMENTED: "it does not speak this protocol",
    StatusCode.UNAUTHENTICATED: "it wants to know who asks",
    StatusCode.PERMISSION_DENIED: "it does not allow this",
    StatusCode.RESOURCE_EXHAUSTED: "it is overloaded, or the message is too large",
    StatusCode.DEADLINE_EXCEEDED: "no answer in time",
}


_APART = (ChannelConnectivity.IDLE, ChannelConnectivity.TRANSIENT_FAILURE)
"""States that may come after a connection which was too short to be seen."""


class CallFailed(Exception):
    """A call that got a status instead of an answer. reason: in words, with nothing of what was sent."""

    def __init__(self, code: StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Follower(Protocol):
    """Whoever believes what it knows of a server for as long as the connection to it stands."""

    def connection_lost(self) -> None: ...


class Endpoint:
    """One address and the channel to it."""

    def __init__(self, address: Address, secure: bool, roots: bytes | None) -> None:
        """On the event loop. roots: the authorities that are trusted, in PEM; None: those that gRPC knows."""
        self.address = address
        self.calls = 0
        """Being answered now."""
        self.losses = 0
        """How often the connection was lost, or not made; counted before anything comes over the next one."""
        self.followers: WeakSet[Follower] = WeakSet()
        options: list[tuple[str, Any]] = list(_OPTIONS)
        if address.authority:
            options.append(("grpc.default_authority", address.authority))
        if secure:
            credentials = grpc.ssl_channel_credentials(roots)
            self._channel = grpc.aio.secure_channel(address.target, credentials, options)
        else:
            self._channel = grpc.aio.insecure_channel(address.target, options)
        self.said: dict[tuple[str, int], set[str]] = {}
        """By model and version: what was logged of why it is not asked, since it last was."""
        self._methods: dict[str, Any] = {}
        self._watch: asyncio.Task[None] | None = None

    async def call(self, method: str, request: bytes, seconds: float) -> bytes:
        """The answer to one message. Raises CallFailed, with DEADLINE_EXCEEDED after so many seconds."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._watch_connection())
        ask = self._methods.get(method)
        if ask is None:
            ask = self._methods[method] = self._channel.unary_unary(method)
        self.calls += 1
        losses = self.losses
        try:
            answer: bytes = await ask(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise CallFailed(_code(error), _words(error)) from None
        except grpc.aio.UsageError:
            raise CallFailed(StatusCode.UNAVAILABLE, "the gateway has left it") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise CallFailed(StatusCode.UNAVAILABLE, "the gateway has left it") from None  # the channel was closed
        finally:
            self.calls -= 1
        if self.losses != losses:  # gRPC may have asked again, over the next connection
            raise CallFailed(StatusCode.UNAVAILABLE, "the connection is lost")
        return answer

    async def close(self) -> None:
        """Close the channel; calls that wait fail."""
        if self._watch is not None:
            self._watch.cancel()
        await self._channel.close()

    async def _watch_connection(self) -> None:
        """Until the channel is closed."""
        before = self._channel.get_state()
        with suppress(grpc.aio.UsageError):
            while True:
                await self._channel.wait_for_state_change(before)
                now = self._channel.get_state()
                if before is ChannelConnectivity.READY or now in _APART:
                    self.losses += 1
                    for follower in list(self.followers):
                        follower.connection_lost()
                before = now


def _code(error: grpc.aio.AioRpcError) -> StatusCode:
    """The status, and RESOURCE_EXHAUSTED where a server calls a full queue something else."""
    if error.code() is StatusCode.UNAVAILABLE and any(sign in _details(error) for sign in _FULL):
        return StatusCode.RESOURCE_EXHAUSTED
    return error.code()


def _details(error: grpc.aio.AioRpcError) -> str:
    return (error.details() or "").lower()


def _words(error: grpc.aio.AioRpcError) -> str:
    code = _code(error)
    if (known := _CODES.get(code)) is not None:
        return known
    if code is StatusCode.UNAVAILABLE:
        details = _details(error)
        return next((words for sign, words in _WORDS if sign in details), "it says that it is not available")
    return f"it answers {code.name}"
