"""What a protocol offers to a listener: methods by path, each from bytes to bytes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from serving.errors import EpmError, InvalidInput
from serving.pipeline import Priority
from serving.repository.served import ServedModel
from serving.stages import UNTIMED, Stopwatch


@dataclass(slots=True)
class Call:
    """One call (or one message of a stream) on its way through."""

    deadline: float | None
    """As `time.monotonic()` counts; None when the caller set none."""
    priority: Priority = Priority.NORMAL
    """LOW: others are answered first where calls wait."""
    served: ServedModel | None = None
    """Set by the protocol as soon as it is known which model answers: metrics are labelled with nothing else."""
    watch: Stopwatch = UNTIMED
    """Where its time goes."""

    @property
    def model(self) -> tuple[str, int] | None:
        """Name and version of what answers."""
        return (self.served.name, self.served.version) if self.served else None


PRIORITY = "epm-priority"
"""The metadata key, and the HTTP header, of a call's priority."""


def priority(said: str | bytes | None) -> Priority:
    """What a caller says of its priority: normal, low, or nothing. Raises InvalidInput."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    if text in (None, "", "normal"):
        return Priority.NORMAL
    if text == "low":
        return Priority.LOW
    raise InvalidInput.cell(PRIORITY, repr(text[:20]), "normal or low")


@dataclass(frozen=True, slots=True)
class Unary:
    """A method with one request and one response. `answer` raises EpmError."""

    answer: Callable[[bytes, Call], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Stream:
    """A bidirectional method: one answer per message. An error is an answer too, made by `failure`."""

    answer: Callable[[bytes, Call], Awaitable[bytes]]
    failure: Callable[[bytes, EpmError], bytes]


class Intake(Protocol):
    """One client stream while it lasts. Its messages are begun in order; several are being taken at a time."""

    async def take(self, body: bytes, call: Call) -> None:
        """Do what a message asks for. Raises EpmError."""

    def failed(self, number: int, error: EpmError) -> None:
        """Note that a message (from 0) could not be taken; called in the order of the messages.

        Raises the error when the stream cannot go on after it.
        """

    def answer(self, received: int) -> bytes:
        """The response, after so many messages."""


@dataclass(frozen=True, slots=True)
class ClientStream:
    """A method with many requests and one response. `open` begins a stream, `window` messages are taken at a time.

    `open` raises EpmError.
    """

    open: Callable[[], Intake]
    window: int


Method = Unary | Stream | ClientStream


@dataclass(frozen=True, slots=True)
class Service:
    """One gRPC service: its full name, the short name that metrics bear, and its methods.

    restricted: only callers who show the token may call it.
    """

    name: str
    protocol: str
    methods: Mapping[str, Method]
    restricted: bool = False


M = TypeVar("M", bound=Message)


def parse(kind: type[M], body: bytes) -> M:
    """Decode a message. Raises InvalidInput when the bytes are not one."""
    try:
        return kind.FromString(body)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise InvalidInput(f"the message: got {len(body)} bytes that are no {name}, expected one") from None
