"""Server reflection as grpcurl and grpcui use it."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def database(small):
    with grpc.insecure_channel(small.grpc) as channel:
        yield ProtoReflectionDescriptorDatabase(channel)


def test_services_are_listed_by_their_official_names(database):
    assert set(database.get_services()) == {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "inference.GRPCInferenceService",
        "epm.v1.PredictionService",
        "epm.v1.FeatureService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("tensorflow.serving.PredictRequest", "model_spec"),
        ("tensorflow.TensorProto", "tensor_content"),
        ("inference.ModelInferRequest", "raw_input_contents"),
        ("epm.v1.PredictRequest", "request_id"),
        ("epm.v1.FactsEvent", "entity_id"),
        ("grpc.health.v1.HealthCheckRequest", "service"),
    ],
)
def test_messages_are_found_with_their_fields(message, field, database):
    assert field in DescriptorPool(database).FindMessageTypeByName(message).fields_by_name


def test_a_client_can_be_made_from_reflection_alone(small, database):
    pool = DescriptorPool(database)
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    from google.protobuf.message_factory import GetMessageClass

    method = service.methods_by_name["ModelReady"]
    ask, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    with grpc.insecure_channel(small.grpc) as channel:
        path = f"/{service.full_name}/{method.name}"
        call = channel.unary_unary(path, ask.SerializeToString, answer.FromString)
        assert call(ask(name="small"), timeout=10).ready
