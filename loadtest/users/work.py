"""What the users of one kind send: bodies made once a process, all distinct, the same for the same seed."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from loadtest.bodies import make_bodies
from loadtest.published import newest_version
from loadtest.users.histories import make_bodies_with_histories
from loadtest.users.kinds import LEAVING, Kind
from serving.contract import Contract
from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve

SEED = 20_260_301


def contract_of(kind: Kind, model_repo: Path) -> Contract:
    """Of the newest version of the model that is asked. Raises MeasurementError, EpmError."""
    return Contract.load(newest_version(model_repo / kind.model) / "contract.json")


@cache
def calls_of(kind: Kind, model_repo: Path) -> Sequence[tuple[bytes, ...]]:
    """The messages of each distinct call; a call that is no stream has one.

    Raises as `contract_of`, and ValueError when two bodies come out equal.
    """
    contract = contract_of(kind, model_repo)
    make = make_bodies_with_histories if kind.model == LEAVING else make_bodies
    bodies = make(kind.protocol, contract, kind.rows, kind.bodies, SEED + kind.rows)
    if not kind.messages:
        return [(body,) for body in bodies]
    return list(_streams(kind, bodies))


def _streams(kind: Kind, bodies: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """Messages numbered from 0 in each stream: a field before a message's bytes belongs to that message."""
    for start in range(0, len(bodies), kind.messages):
        messages = bodies[start : start + kind.messages]
        yield tuple(_request_id(kind, number) + body for number, body in enumerate(messages))


def _request_id(kind: Kind, number: int) -> bytes:
    if kind.protocol.name == "kserve_v2":
        return kserve.ModelInferRequest(id=str(number)).SerializeToString()
    return epm.PredictRequest(request_id=str(number)).SerializeToString()
