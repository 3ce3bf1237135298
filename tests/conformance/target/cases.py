"""Requests out of the ordinary, how a server answers them, and where servers are known to differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tests.conformance.target.clients import TF_SERVING as TF_SERVING_PROTOCOL
from tests.conformance.target.clients import TRITON as TRITON_PROTOCOL
from tests.conformance.target.clients import Client, Refused
from tests.conformance.target.models import Model, Tensors

GATEWAY, TRITON, TF_SERVING = "gateway", "Triton", "TF Serving"
ANSWERED, NOT_READY = "answered", "not ready"


@dataclass(frozen=True)
class Difference:
    """What one server does otherwise than expected, and why it may. outcomes: any of them."""

    outcomes: frozenset[str]
    why: str


def otherwise(why: str, *outcomes: str) -> Difference:
    return Difference(frozenset(outcomes), why)


@dataclass(frozen=True)
class Case:
    """One request. expected: the gRPC status, or ANSWERED. protocols: that can express it."""

    send: Callable[[Client, Model], object]
    expected: str = "INVALID_ARGUMENT"
    differences: Mapping[str, Difference] = field(default_factory=dict)
    protocols: tuple[str, ...] = (TF_SERVING_PROTOCOL, TRITON_PROTOCOL)

    def allowed(self, server: str) -> frozenset[str]:
        """Outcomes that conform, of this server."""
        known = self.differences.get(server)
        return frozenset({self.expected}) if known is None else known.outcomes

    def outcome(self, client: Client, model: Model) -> str:
        """What the server makes of it."""
        try:
            return NOT_READY if self.send(client, model) is False else ANSWERED
        except Refused as refused:
            return refused.code


def _spoilt(model: Model, change: Callable[[np.ndarray], np.ndarray]) -> Tensors:
    """Two golden rows with another `features`."""
    given = model.first(2)
    return given | {"features": change(given["features"])}


def _by_name(client: Client, model: Model) -> object:
    """A call with every feature as a column [n, 1]."""
    columns = {name: values[:2, None] if values.ndim == 1 else values[:2] for name, values in model.by_name().items()}
    return client.ask(model.name, columns, signature="serving_default")


CASES = {
    "unknown model": Case(lambda client, model: client.ask("nobody", model.first(1)), "NOT_FOUND"),
    "unknown version": Case(lambda client, model: client.ask(model.name, model.first(1), 987_654), "NOT_FOUND"),
    "readiness of an unknown model": Case(
        lambda client, model: client.ready("nobody"),
        "NOT_FOUND",
        {TRITON: otherwise("answers that it is not ready", NOT_READY)},
    ),
    "readiness of an unknown version": Case(
        lambda client, model: client.ready(model.name, 987_654),
        "NOT_FOUND",
        {TRITON: otherwise("answers that it is not ready", NOT_READY)},
    ),
    "metadata of an unknown model": Case(lambda client, model: client.described("nobody"), "NOT_FOUND"),
    "unknown input": Case(lambda client, model: client.ask(model.name, model.first(1) | {"nobody": np.ones((1, 1))})),
    "no input": Case(lambda client, model: client.ask(model.name, {})),
    "unknown output": Case(lambda client, model: client.ask(model.name, model.first(1), outputs=["nobody"])),
    "rows too narrow": Case(lambda client, model: client.ask(model.name, _spoilt(model, lambda x: x[:, :3]))),
    "rows too wide": Case(
        lambda client, model: client.ask(model.name, _spoilt(model, lambda x: np.hstack([x, x]))),
        differences={
            TF_SERVING: otherwise(
                "holds no request to the shapes of its signature: a graph that can answers from the columns it knows",
                ANSWERED,
                "INVALID_ARGUMENT",
            )
        },
    ),
    "one row without the dimension of rows": Case(
        lambda client, model: client.ask(model.name, _spoilt(model, lambda x: x[0]))
    ),
    "numbers of 64 bits": Case(
        lambda client, model: client.ask(model.name, _spoilt(model, lambda x: x.astype(np.float64))),
        differences={GATEWAY: otherwise("takes every type of number", ANSWERED)},
    ),
    "no rows": Case(
        lambda client, model: client.ask(model.name, model.first(0)),
        differences={TF_SERVING: otherwise("runs a graph on no rows", ANSWERED)},
    ),
    "unknown signature": Case(
        lambda client, model: client.ask(model.name, model.first(1), signature="nobody"),
        differences={TF_SERVING: otherwise("has another status for it", "FAILED_PRECONDITION")},
        protocols=(TF_SERVING_PROTOCOL,),
    ),
    "features by name, as [n, 1]": Case(_by_name, protocols=(TF_SERVING_PROTOCOL,)),
}
