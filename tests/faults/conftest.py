"""A gateway with tight limits, and what must hold after each fault: the next good call is right, the log is clean."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.protocols import PROTOCOLS, Protocol, ask, opened
from tests.support.gateways import Running, gateway

MAX_ROWS = 100
MAX_BYTES = 64 * 1024
BATCH_ROWS = 8000
WINDOW = 4
CANARIES = ("canary", "77.4375", "33.3125", "Traceback", "defect", "RuntimeWarning", "never awaited", "never retrieved")
"""Texts and numbers that tests send, and words of a gateway that stumbled: none may reach the log."""

GOOD = ask(hours=[40.5, 33.3125], overtime=[7.5, float("nan")], department=["研发", "canary"])


@pytest.fixture(scope="session")
def strict(small_repository: Path) -> Iterator[Running]:
    """A gateway with room for 100 rows and 64 KiB in a call."""
    with gateway(small_repository, max_rows=MAX_ROWS, max_message_bytes=MAX_BYTES) as running:
        yield running


@pytest.fixture(scope="session")
def crowded(small_repository: Path) -> Iterator[Running]:
    """A gateway with room for two and a half large batches, one thread for them, and four messages of a stream."""
    limits = {"max_rows": BATCH_ROWS, "max_rows_in_flight": BATCH_ROWS * 5 // 2, "worker_threads": 1}
    with gateway(small_repository, stream_window=WINDOW, **limits) as running:
        yield running
        log = "".join(running.log)
    assert [word for word in CANARIES if word in log] == [], log[-3000:]


@pytest.fixture(scope="session")
def right_answer(strict: Running) -> tuple[float, ...]:
    """Probabilities of GOOD, before anything bad has happened."""
    protocol = PROTOCOLS["tf_serving"](strict.grpc, strict.http)
    outcome = protocol.ask(GOOD)
    protocol.close()
    assert outcome.status == "OK", outcome
    return outcome.probabilities


@pytest.fixture(scope="session", params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest, strict: Running) -> Iterator[Protocol]:
    """Each protocol in turn, talking to `strict`."""
    yield from opened(request.param, strict.grpc, strict.http)


@pytest.fixture(autouse=True)
def _unhurt(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test on `strict`: every protocol still answers right, and the log holds nothing that it must not."""
    if "strict" not in request.fixturenames and "protocol" not in request.fixturenames:
        yield
        return
    strict: Running = request.getfixturevalue("strict")
    expected, before = request.getfixturevalue("right_answer"), len(strict.log)
    asked = [type(request.getfixturevalue("protocol"))] if "protocol" in request.fixturenames else PROTOCOLS.values()
    yield
    for made in asked:
        after = made(strict.grpc, strict.http)
        outcome = after.ask(GOOD)
        after.close()
        assert (outcome.status, outcome.probabilities) == ("OK", expected)
    log = "".join(strict.log[before:])
    assert [word for word in CANARIES if word in log] == [], log[-3000:]
