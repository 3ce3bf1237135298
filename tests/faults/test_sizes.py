"""Messages over the byte limit are refused before they are read; batches over the row limit whatever their size."""

import numpy as np
import pytest

from tests.faults.conftest import MAX_BYTES
from tests.faults.protocols import PROTOCOLS, Ask, ask
from tests.support.gateways import gateway

pytestmark = pytest.mark.faults


def test_a_message_over_the_byte_limit_is_resource_exhausted(protocol):
    outcome = protocol.ask(Ask([("department", ["canary" * 20] * (MAX_BYTES // 100))]))
    assert outcome.status == "RESOURCE_EXHAUSTED"


def test_a_message_far_over_the_byte_limit_is_resource_exhausted(protocol):
    assert protocol.send(b"\n" * (50 * MAX_BYTES)).status == "RESOURCE_EXHAUSTED"


def test_a_message_just_under_the_byte_limit_is_read(protocol):
    outcome = protocol.ask(Ask([("department", ["canary" * 10] * (MAX_BYTES // 80))]))
    assert outcome.status == "INVALID_ARGUMENT", "too many rows, but read"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_more_rows_than_can_ever_be_answered_are_invalid_not_overload(name, small):
    made = PROTOCOLS[name](small.grpc, small.http)
    outcome = made.ask(ask(hours=np.full(70000, 40.0)))
    made.close()
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", "hours"), "to try again would help nobody"


def test_a_limit_on_rows_in_flight_below_the_largest_batch_is_refused_at_start(small_repository):
    with (
        pytest.raises(RuntimeError, match="EPM_MAX_ROWS_IN_FLIGHT"),
        gateway(small_repository, max_rows=1000, max_rows_in_flight=999),
    ):
        pass
