"""grpc.health.v1 as Kubernetes, Envoy and gRPC clients speak it."""

import queue
import signal
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.gateways import gateway

pytestmark = pytest.mark.conformance

SERVICES = (
    "",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "inference.GRPCInferenceService",
    "epm.v1.PredictionService",
)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Watcher:
    """One Watch call whose states arrive in a queue; None when it ends."""

    def __init__(self, address, service=""):
        self._channel = grpc.insecure_channel(address)
        self.call = health_pb2_grpc.HealthStub(self._channel).Watch(health_pb2.HealthCheckRequest(service=service))
        self.states = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for response in self.call:
                self.states.put(response.status)
        except grpc.RpcError:
            pass
        self.states.put(None)

    def leave(self):
        self.call.cancel()
        self._channel.close()


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_serving(service, small):
    with grpc.insecure_channel(small.grpc) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        assert health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status == SERVING


def test_an_unknown_service_is_not_found(small):
    with grpc.insecure_channel(small.grpc) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_watching_an_unknown_service_says_so_and_goes_on(small):
    watcher = Watcher(small.grpc, "nobody")
    assert watcher.states.get(timeout=10) == SERVICE_UNKNOWN
    with pytest.raises(queue.Empty):
        watcher.states.get(timeout=0.3)
    watcher.leave()


def test_a_gateway_without_models_is_not_serving(tmp_path):
    with gateway(tmp_path) as empty, grpc.insecure_channel(empty.grpc) as channel:
        response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert response.status == NOT_SERVING


def test_a_watcher_that_leaves_takes_no_other_with_it_and_sigterm_reaches_those_that_stay(small_repository):
    with gateway(small_repository) as running:
        first, second, third = Watcher(running.grpc), Watcher(running.grpc), Watcher(running.grpc, SERVICES[1])
        assert [watcher.states.get(timeout=10) for watcher in (first, second, third)] == [SERVING] * 3
        first.leave()
        assert first.states.get(timeout=10) is None
        running.process.send_signal(signal.SIGTERM)
        for watcher in (second, third):
            assert watcher.states.get(timeout=10) == NOT_SERVING
            assert watcher.states.get(timeout=10) is None, "the stream ends, or draining would wait for it"
        assert running.process.wait(10) == 0
