"""A run is a measurement only when everything was answered, and with what was asked."""

import pytest

from loadtest.answers import WrongAnswerError
from loadtest.bodies import PROTOCOLS, make_bodies
from loadtest.h2 import frames
from loadtest.h2.client import Result
from loadtest.measure import Effort, MeasurementError, Work, check_echo, check_gateway, put_load
from loadtest.servers import Server
from tests.loadtest.contracts import small_contract
from tests.loadtest.fake_server import FakeServer, answer

pytestmark = pytest.mark.integration

BRIEF = Effort(seconds=0.3, streams=4)


@pytest.fixture(scope="module")
def work():
    return Work(PROTOCOLS[1], 64, make_bodies(PROTOCOLS[1], small_contract(), 64, 1000, seed=1))


def test_figures_of_a_run_hang_together(echo, work):
    figures, result = put_load(echo, work, BRIEF)
    check_echo(work, result)
    assert figures.calls == result.statuses[0] > 50
    assert figures.rows_per_second == pytest.approx(64 * figures.calls_per_second)
    assert 0 < figures.p50_us <= figures.p99_us
    assert figures.server_cpu_us_per_call > 0
    assert figures.server_cpu_share == pytest.approx(
        figures.server_cpu_us_per_call * figures.calls_per_second / 1e6, rel=1e-6
    )
    assert figures.client_cpu_share < 1
    assert figures.header_table_honoured
    assert figures.handler_us_per_call is None, "the echo has no metrics"


def test_a_gateway_that_only_echoes_is_found_out(echo, work):
    _, result = put_load(echo, work, BRIEF)
    with pytest.raises(WrongAnswerError):
        check_gateway(work, result)


def test_an_echo_that_gives_back_something_else_is_found_out(work):
    result = Result(kept={0: work.bodies[0], 1: work.bodies[2]})
    with pytest.raises(MeasurementError, match=r"\[1\]"):
        check_echo(work, result)
    with pytest.raises(MeasurementError):
        check_echo(work, Result())


def test_a_run_with_errors_is_no_measurement(work, monkeypatch):
    def respond(stream):
        renewed = frames.window_update(0, 20_000)
        return renewed + answer(stream, last=b"\x00\x0bgrpc-status\x01" + (b"8" if stream == 21 else b"0"))

    with FakeServer(respond) as fake:
        monkeypatch.setattr(Server, "__init__", lambda self, address: setattr(self, "address", address))
        monkeypatch.setattr(Server, "usage", lambda self: None)
        monkeypatch.setattr(Server, "handled", lambda self: None)
        with pytest.raises(MeasurementError, match="8: 1"):
            put_load(Server(fake.address), work, BRIEF)
