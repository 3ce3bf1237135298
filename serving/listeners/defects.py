"""What a listener does with an exception that nobody meant to raise."""

import logging
import sys
import traceback

from serving.errors import EpmError


def without_callers(record: logging.LogRecord) -> bool:
    """A filter for an HTTP library's log, which tells addresses and bytes of callers: kind and place of a failure stay.

    What cannot be read as HTTP is dropped: it was answered with 400, and port scanners send much of it.
    """
    from aiohttp.http_exceptions import HttpProcessingError
    from aiohttp.web import RequestPayloadError

    kind, _, trace = record.exc_info or (None, None, None)
    if kind is None:
        return True
    where = "".join(traceback.format_tb(trace))
    record.msg, record.args, record.exc_info = "defect: %s\n%s", (kind.__name__, where), None
    return not issubclass(kind, HttpProcessingError | RequestPayloadError)


class InternalError(EpmError):
    """A defect of the gateway (INTERNAL): the caller learns that it happened, the log where."""


def defect(log: logging.Logger, method: str) -> InternalError:
    """Log the current exception: its type and where it was raised, not its text, which may hold what a caller sent."""
    kind, _, trace = sys.exc_info()
    where = "".join(traceback.format_tb(trace))
    log.error("defect in %s: %s\n%s", method, kind.__name__ if kind else "", where)
    return InternalError("the gateway failed on this request; its log says where")
