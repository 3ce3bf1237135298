"""Errors in the words of google.rpc (https://google.aip.dev/193)."""

from google.rpc import error_details_pb2, status_pb2

from serving.errors import EpmError


def status(error: EpmError) -> status_pb2.Status:
    """google.rpc.Status of an error, with google.rpc.BadRequest where a field is to blame."""
    made = status_pb2.Status(code=error.status, message=error.message)
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message[:200])
        made.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]), deterministic=True)
    return made
