"""Random requests of all protocols, without end, each with the method that it is for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from loadtest.listener.fuzzing import epm, kserve, tf_serving
from loadtest.listener.fuzzing.mutations import LARGEST, mutated
from serving.contract import Contract


@dataclass(frozen=True)
class Method:
    """A method of the gateway."""

    service: str
    name: str
    request: Callable[[Random, Contract, float], bytes]
    streaming: bool = False

    @property
    def path(self) -> str:
        """As in `:path`."""
        return f"/{self.service}/{self.name}"


METHODS = (
    Method("inference.GRPCInferenceService", "ModelInfer", kserve.request),
    Method("tensorflow.serving.PredictionService", "Predict", tf_serving.request),
    Method("epm.v1.PredictionService", "Predict", epm.request),
    Method("epm.v1.PredictionService", "StreamPredict", epm.request, streaming=True),
    Method("inference.GRPCInferenceService", "ModelStreamInfer", kserve.request, streaming=True),
)
SHARES = (0.32, 0.3, 0.3, 0.06, 0.02)
"""Of all requests."""
MUTATED, ODD = 0.4, 0.25
"""Of requests, whose bytes are changed; and in which things are odd."""
REMEMBERED = 200
FIRST = 0.5
"""The share of requests that are of the first contract in any case."""


def counts(total: int) -> dict[Method, int]:
    """How many requests of each method."""
    return {method: max(1, round(total * share)) for method, share in zip(METHODS, SHARES, strict=True)}


def without_end(method: Method, contracts: Sequence[Contract], seed: str) -> Iterator[bytes]:
    """Bodies. The same seed gives the same ones."""
    random = Random(seed)
    recent: list[bytes] = []
    while True:
        how = random.random()
        if how < MUTATED and len(recent) > 10:
            yield mutated(random, random.choice(recent), recent)
            continue
        odd = 0.2 if how > 1 - ODD else 0.0
        contract = contracts[0] if random.random() < FIRST else random.choice(contracts)
        body = method.request(random, contract, odd)[:LARGEST]
        if len(recent) < REMEMBERED:
            recent.append(body)
        else:
            recent[random.randrange(REMEMBERED)] = body
        yield body
