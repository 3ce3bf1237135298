"""A connection that has become old is opened anew, and no call notices: so clients find gateways that are new."""

import time
from itertools import pairwise

import grpc
import pytest

from serving.stubs.foreign import kserve_v2_pb2 as v2
from tests.support.gateways import gateway
from tests.support.metrics import until

pytestmark = pytest.mark.integration

READY = grpc.ChannelConnectivity.READY


def test_connections_are_opened_anew_and_no_call_fails(small_repository):
    with (
        gateway(small_repository, max_connection_age_seconds=0.5) as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):
        states, answered = [], 0
        channel.subscribe(states.append, try_to_connect=True)
        ask = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")

        def opened_anew():
            nonlocal answered
            ask(v2.ServerLiveRequest().SerializeToString(), timeout=30)
            answered += 1
            return [before for before, after in pairwise(states) if before is READY and after is not READY]

        assert until(lambda: len(opened_anew()) >= 3, 60), states
        assert answered > 3


def test_without_an_age_connections_stay(small):
    with grpc.insecure_channel(small.grpc) as channel:
        states = []
        channel.subscribe(states.append, try_to_connect=True)
        ask = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        end = time.monotonic() + 2
        while time.monotonic() < end:
            ask(v2.ServerLiveRequest().SerializeToString(), timeout=30)
        assert states.count(READY) == 1
