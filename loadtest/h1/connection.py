"""One HTTP/1.1 client connection as a state machine over bytes, in the manner of `loadtest.h2.connection`.

One request is open at a time. It touches no socket and no clock.
"""

from loadtest.h1.answer import Answer
from loadtest.h2.connection import OK, ConnectionFailed, Outcome


def request(address: str, path: str, body: bytes) -> bytes:
    """A POST of JSON that keeps the connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode("ascii") + b"\r\n\r\n" + body


class Call:
    """One call: its number, when it began (ns), what has come back so far, and how it ended."""

    __slots__ = ("began", "body", "number", "outcome", "received")

    def __init__(self, number: int, began: int, keep: bool) -> None:
        self.number = number
        self.began = began
        self.received = Answer()
        self.body = self.received if keep else None
        """What was received, when it was asked to be kept."""
        self.outcome: Outcome = "unanswered"

    def answer(self) -> bytes:
        """The body of a call that was answered."""
        return bytes(self.received.body)


class Connection:
    """Requests one after the other. A call ends with 0 for HTTP 200 and a whole body, else with what came in words."""

    stateless = True
    updates = 0

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        self.closing = ""
        """Why no further call can begin, empty while one can."""
        self._out = b""

    def can_call(self) -> bool:
        """Whether a call may begin now: none is open and the server is not closing."""
        return not self.calls and not self.closing

    def call(self, number: int, began: int, message: bytes, keep: bool = False, _: bytes = b"") -> None:
        """Begin a call: `message` is the whole request."""
        self.calls[number] = Call(number, began, keep)
        self._out = message

    def output(self) -> bytes:
        """Bytes to send now; they are given once."""
        out, self._out = self._out, b""
        return out

    def receive(self, data: bytes) -> list[Call]:
        """Take bytes of the server, return the call they ended, if any. Raises ConnectionFailed."""
        if not self.calls:
            raise ConnectionFailed("the server sent what nothing asked for")
        ((number, call),) = self.calls.items()
        answer = call.received
        if not answer.feed(data):
            return []
        del self.calls[number]
        call.outcome = OK if answer.status == 200 else f"HTTP {answer.status}"
        if answer.closes:
            self.closing = "the server closes the connection"
        return [call]

    def abandon(self, reason: str) -> list[Call]:
        """End what is still open as `reason`: the connection is gone."""
        self.closing = self.closing or reason
        lost = list(self.calls.values())
        for call in lost:
            call.outcome = reason
        self.calls.clear()
        return lost
