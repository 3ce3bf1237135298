"""Whether an answer is the one to what was asked. In streams every answer is looked at, else one in many."""

from collections.abc import Sequence

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from loadtest.answers import WrongAnswerError, probabilities
from loadtest.users.failures import ANSWERS_MISSING, ERROR_IN_STREAM, WRONG_ANSWER, WRONG_ORDER, CallFailedError
from loadtest.users.kinds import LEAVING, Kind
from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve

LOOK_INTO_EVERY = 25
"""Each user decodes the first of so many answers, or of the streams' messages, and looks at every number."""


def check(kind: Kind, sent: Sequence[bytes], answers: Sequence[bytes], number: int) -> None:
    """The answers to a user's call `number`, message by message. Raises CallFailedError."""
    if kind.messages:
        _check_stream(kind, sent, answers)
    elif number % LOOK_INTO_EVERY == 0:
        _look(kind, answers[0])


def check_echo(sent: Sequence[bytes], answers: Sequence[bytes]) -> None:
    """The echo gives back what it gets. Raises CallFailedError."""
    if tuple(answers) != tuple(sent):
        raise CallFailedError(WRONG_ANSWER)


def _check_stream(kind: Kind, sent: Sequence[bytes], answers: Sequence[bytes]) -> None:
    if len(answers) != len(sent):
        raise CallFailedError(ANSWERS_MISSING)
    for number, answer in enumerate(answers):
        found, body = _kserve(answer) if kind.protocol.name == "kserve_v2" else _epm(answer)
        if found != str(number):
            raise CallFailedError(WRONG_ORDER)
        if number % LOOK_INTO_EVERY == 0:
            _look(kind, body)


def _epm(answer: bytes) -> tuple[str, bytes]:
    """Request id and answer of a message. Raises CallFailedError."""
    try:
        response = epm.PredictResponse.FromString(answer)
    except DecodeError:
        raise CallFailedError(WRONG_ANSWER) from None
    if response.HasField("error"):
        raise CallFailedError(_NAMES.get(response.error.code, ERROR_IN_STREAM))
    return response.request_id, answer


def _kserve(answer: bytes) -> tuple[str, bytes]:
    """The same; this protocol's errors are words without a status."""
    try:
        response = kserve.ModelStreamInferResponse.FromString(answer)
    except DecodeError:
        raise CallFailedError(WRONG_ANSWER) from None
    if response.error_message:
        raise CallFailedError(ERROR_IN_STREAM)
    return response.infer_response.id, response.infer_response.SerializeToString()


def _look(kind: Kind, answer: bytes) -> None:
    """Raises CallFailedError unless it holds a prediction of each row."""
    try:
        if kind.model == LEAVING:
            _look_into_events(answer, kind.rows)
        else:
            probabilities(kind.protocol.name, answer, kind.rows)
    except WrongAnswerError:
        raise CallFailedError(WRONG_ANSWER) from None


def _look_into_events(answer: bytes, rows: int) -> None:
    """An `epm.v1` answer with the probability of an event for each row. Raises WrongAnswerError."""
    try:
        outputs = epm.PredictResponse.FromString(answer).outputs
    except DecodeError as error:
        raise WrongAnswerError("epm_v1: not decodable") from error
    found = [np.array(output.probability.values) for output in outputs if output.HasField("probability")]
    if not found or not all(len(values) == rows and np.all((values >= 0) & (values <= 1)) for values in found):
        raise WrongAnswerError(f"epm_v1: no probabilities of {rows} rows")


_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
