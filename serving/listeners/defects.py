"""What a listener does with an exception that nobody meant to raise."""

import logging
import sys
import traceback

from serving.errors import EpmError


class InternalError(EpmError):
    """A defect of the gateway (INTERNAL): the caller learns that it happened, the log where."""


def defect(log: logging.Logger, method: str) -> InternalError:
    """Log the current exception: its type and where it was raised, not its text, which may hold what a caller sent."""
    kind, _, trace = sys.exc_info()
    where = "".join(traceback.format_tb(trace))
    log.error("defect in %s: %s\n%s", method, kind.__name__ if kind else "", where)
    return InternalError("the gateway failed on this request; its log says where")
