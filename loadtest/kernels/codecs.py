"""Decoders and encoders of the three protocols, the same written plainly, and protobuf alone, over the same bodies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.bodies import PROTOCOLS, Protocol, make_bodies
from loadtest.kernels.case import Case, DifferentError, over
from loadtest.kernels.plainly import PLAIN, Answered, Decoded, Plain
from loadtest.protocols.stages import InstantPipeline, StoppingPipeline, answer_function, decode_only, result_of
from loadtest.published import MODEL
from serving.contract import ClassOutput
from serving.pipeline import Pipeline, Prediction
from serving.protocols.answers import answers
from serving.protocols.method import Call
from serving.repository.repository import Repository
from serving.settings import Settings

COUNTED = "decoding: the body read, the columns written; encoding: the outputs read, the body written"
ROWS = (1, 64)
BODIES, SEED = 1000, 7
DECODE, ENCODE, OURS, PLAINLY, PROTOBUF = "decode", "encode", "the gateway", "plain Python", "protobuf alone"
TITLES = {"tensorflow_serving": "TF Serving", "kserve_v2": "KServe v2", "epm_v1": "epm.v1"}


def cases(repository: Path) -> Iterator[Case]:
    """Decoding and encoding by protocol and size. Raises DifferentError."""
    served = Repository(repository)
    served.scan()
    for protocol in PROTOCOLS:
        for rows in ROWS:
            yield from _cases(served, protocol, rows)


def _cases(repository: Repository, protocol: Protocol, rows: int) -> Iterator[Case]:
    served, plain = repository.resolve(MODEL), PLAIN[protocol.name]
    bodies = make_bodies(protocol, served.contract, rows, BODIES, SEED)
    pipeline, stopping, instant = (
        Pipeline(repository, Settings(cache="off")),
        StoppingPipeline(repository),
        InstantPipeline(repository),
    )
    decode, both = answer_function(protocol.path, stopping), answer_function(protocol.path, instant)
    predictions, answered, responses, columns = [], [], [], 0
    for body in bodies:
        decode_only(decode, body, Call(None))
        columns = _check_columns(protocol, stopping.inputs, plain.decode(body))
        instant.prediction = result_of(pipeline.predict(served, stopping.inputs))
        predictions.append(instant.prediction)
        answered.append(_answered(instant.prediction))
        responses.append(plain.response.FromString(result_of(both(body, Call(None)))))
        _check_answer(protocol, plain, answered[-1], responses[-1])
    pipeline.close()

    def there_and_back(number: int) -> bytes:
        instant.prediction = predictions[number % BODIES]
        return result_of(both(bodies[number % BODIES], Call(None)))  # type: ignore[no-any-return]

    decoding = over(lambda body: decode_only(decode, body, Call(None)), bodies)
    ways = {OURS: decoding, PLAINLY: over(plain.decode, bodies), PROTOBUF: over(plain.request.FromString, bodies)}
    yield Case(DECODE, TITLES[protocol.name], rows, ways, _mean(bodies) + columns)
    ways = {OURS: there_and_back, "_decode": decoding, PLAINLY: over(plain.encode, answered)}
    ways[PROTOBUF] = over(lambda response: response.SerializeToString(deterministic=True), responses)
    written = _mean([response.SerializeToString() for response in responses])
    outputs = sum(tensor.nbytes for tensor in predictions[0].tensors.values())
    yield Case(ENCODE, TITLES[protocol.name], rows, ways, written + outputs, {OURS: "_decode"})


def _check_columns(protocol: Protocol, ours: Any, plain: Decoded) -> int:
    """Bytes of the columns. Raises DifferentError when the two decoders give other cells."""
    if ours.keys() != plain.keys():
        raise DifferentError(f"{protocol.name}: columns {sorted(ours)} and {sorted(plain)}")
    size = 0
    for name, cells in plain.items():
        found = ours[name]
        if isinstance(cells, list):
            same = [cell.decode() if isinstance(cell, bytes) else cell for cell in found] == cells
            size += sum(len(cell) for cell in cells)
        else:
            same = np.array_equal(np.asarray(found, np.float64), cells, equal_nan=True)
            size += cells.nbytes
        if not same:
            raise DifferentError(f"{protocol.name}: column {name} is decoded in two ways")
    return size


def _check_answer(protocol: Protocol, plain: Plain, answered: Answered, expected: Any) -> None:
    if plain.response.FromString(plain.encode(answered)) != expected:
        raise DifferentError(f"{protocol.name}: the plain encoder writes another answer")


def _answered(prediction: Prediction) -> Answered:
    """All that the plain encoder is given ready-made; the gateway makes it from the prediction, in its time."""
    decision = prediction.served.contract.decision
    return Answered(
        prediction.served.name,
        prediction.served.version,
        answers(prediction),
        decision.classes if isinstance(decision, ClassOutput) else (),
        tuple((str(one.code), one.column, one.rows.tolist()) for one in prediction.warnings),
    )


def _mean(bodies: list[bytes]) -> int:
    return round(sum(map(len, bodies)) / len(bodies))
