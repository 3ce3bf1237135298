"""What a failed call is called in the statistics: a short list of names, never the server's words or anybody's data."""

import grpc

WRONG_ANSWER = "WRONG_ANSWER"
"""OK by its status, and no prediction of the rows that were sent."""
WRONG_ORDER = "WRONG_ORDER"
"""An answer of a stream that is not the next one's."""
ANSWERS_MISSING = "ANSWERS_MISSING"
"""A stream that ended with OK and fewer or more answers than messages."""
ERROR_IN_STREAM = "ERROR_IN_STREAM"
"""A stream's answer that is an error without a gRPC status, as KServe's are."""


class CallFailedError(Exception):
    """A call with gRPC status OK that failed all the same; its only argument is one of the names above."""


def name_of(error: Exception) -> str:
    """The name of a failure: a gRPC status, or one of the above."""
    if isinstance(error, CallFailedError):
        return str(error)
    code = error.code() if isinstance(error, grpc.Call) else None
    return code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN.name
