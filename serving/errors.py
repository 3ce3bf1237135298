"""One hierarchy of errors; every class knows its gRPC status, every protocol translates it in one place."""

from collections.abc import Iterable
from enum import IntEnum


class Status(IntEnum):
    """Canonical status codes (https://grpc.io/docs/guides/status-codes/), without importing grpc."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


LONGEST = 500
"""Characters of a message: with its details it has to fit into the 8 KiB of metadata that gRPC clients take."""


def one_of(names: Iterable[str]) -> str:
    """The names that would have been right, the first twenty of them."""
    listed = list(names)
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return f"one of {', '.join(listed[:20])}{more}"


class EpmError(Exception):
    """What went wrong, in words for the caller. `field` names the input it is about, empty when there is none."""

    status = Status.INTERNAL

    def __init__(self, message: str, *, field: str = "") -> None:
        self.message = message if len(message) <= LONGEST else message[: LONGEST - 1] + "…"
        super().__init__(self.message)
        self.field = field


class InvalidInput(EpmError):
    """The request cannot be answered as it is: the caller has to change it."""

    status = Status.INVALID_ARGUMENT

    @classmethod
    def cell(cls, field: str, came: str, expected: str) -> "InvalidInput":
        """The usual sentence: which field (cut to a bearable length), what came, what was expected."""
        field = field[:100]
        return cls(f"{field}: got {came}, expected {expected}", field=field)


class NotFound(EpmError):
    """No such model, version, label or entity."""

    status = Status.NOT_FOUND


class NotReady(EpmError):
    """The model or the gateway is not ready (yet, or any more): try again, or elsewhere."""

    status = Status.UNAVAILABLE


class BackendFailed(NotReady):
    """A backend gives no answer, or a wrong one: another one may be asked."""


class BackendRefused(BackendFailed):
    """A backend answers that it cannot compute what it was given. Fewer rows, or another backend, may go well."""


class RowsRefused(BackendRefused):
    """All backends refuse what they were given: the caller has to change it."""

    status = Status.INVALID_ARGUMENT


class Overloaded(EpmError):
    """A limit on work in progress is reached. Said at once; nothing is queued."""

    status = Status.RESOURCE_EXHAUSTED


class TooLate(EpmError):
    """The caller's deadline has passed: before work on the answer began, or while it waited for a server."""

    status = Status.DEADLINE_EXCEEDED


class PreconditionFailed(EpmError):
    """What the request needs is not set up here (for example: entity ids without an online store)."""

    status = Status.FAILED_PRECONDITION


class Unauthenticated(EpmError):
    """The call does not say with a valid token who makes it."""

    status = Status.UNAUTHENTICATED


class PermissionDenied(EpmError):
    """What is asked for is allowed to nobody here."""

    status = Status.PERMISSION_DENIED


class ContractError(EpmError):
    """A model version on disk that does not keep its promises: broken, incomplete, changed, or answering wrongly."""

    status = Status.FAILED_PRECONDITION


class SettingsError(EpmError):
    """A knob with a value it cannot have."""

    status = Status.INVALID_ARGUMENT
