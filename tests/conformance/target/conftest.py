"""The servers that the suite runs against: the one that was named, or those of the tests."""

import functools
import os
from dataclasses import dataclass

import grpc
import pytest

from tests.conformance.target import models
from tests.conformance.target.cases import CASES, GATEWAY, TF_SERVING, TRITON
from tests.conformance.target.clients import CLIENTS, Client, Refused, Triton
from tests.conformance.target.models import Model

ADDRESS = os.environ.get("CONFORMANCE_TARGET", "")
PROTOCOL = os.environ.get("CONFORMANCE_PROTOCOL", "")
OURS = {
    "gateway": ("performance", GATEWAY),
    "triton_server": ("triton_server", TRITON),
    "tf_serving_reference": ("tf_serving_reference", TF_SERVING),
}
"""Server of the tests -> its fixture, and whose behaviour it has."""


@dataclass(frozen=True)
class Target:
    """A running server, asked over one protocol. server: GATEWAY, TRITON or TF_SERVING."""

    server: str
    client: Client


@functools.cache
def _spoken() -> list[tuple[str, str]]:
    """What the named server is, and the protocols to ask it over. Raises UsageError when it does not answer."""
    if PROTOCOL and PROTOCOL not in CLIENTS:
        raise pytest.UsageError(f"PROTOCOL: got {PROTOCOL!r}, expected one of {', '.join(CLIENTS)}")
    try:
        grpc.channel_ready_future(grpc.insecure_channel(ADDRESS)).result(timeout=30)
        name = Triton(ADDRESS).server()
    except grpc.FutureTimeoutError:
        raise pytest.UsageError(f"TARGET: nothing answers at {ADDRESS} within 30 s") from None
    except Refused:
        server, protocols = TF_SERVING, ["tf_serving"]
    else:
        server = GATEWAY if name == "epm" else TRITON
        protocols = list(CLIENTS) if server == GATEWAY else ["triton"]
    if PROTOCOL and PROTOCOL not in protocols:
        raise pytest.UsageError(f"PROTOCOL: got {PROTOCOL}, the server at {ADDRESS} speaks {', '.join(protocols)}")
    return [(server, protocol) for protocol in protocols if PROTOCOL in ("", protocol)]


def _targets() -> list[tuple[str, str]]:
    """Servers and protocols of this run."""
    if ADDRESS:
        return _spoken()
    return [
        ("gateway", "tf_serving"),
        ("gateway", "triton"),
        ("triton_server", "triton"),
        ("tf_serving_reference", "tf_serving"),
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test runs against every target; a case out of the ordinary, where its protocol can express it."""
    if "case" in metafunc.fixturenames:
        pairs = [(target, name) for target in _targets() for name in CASES if target[1] in CASES[name].protocols]
        ids = [f"{' over '.join(target)}-{name}" for target, name in pairs]
        metafunc.parametrize(("target", "case"), pairs, indirect=["target"], ids=ids, scope="session")
    elif "target" in metafunc.fixturenames:
        metafunc.parametrize("target", _targets(), indirect=True, ids=" over ".join, scope="session")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    server, protocol = request.param
    if ADDRESS:
        return Target(server, CLIENTS[protocol](ADDRESS))
    fixture, behaves_as = OURS[server]
    return Target(behaves_as, CLIENTS[protocol](request.getfixturevalue(fixture).grpc))


@pytest.fixture(scope="session", params=models.NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    return models.load(request.param)
