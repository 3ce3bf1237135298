"""The messages that bear other servers' names are those of the official packages, field by field."""

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool
from onnx import onnx_ml_pb2  # noqa: F401 (these imports fill the pool of official messages)
from tensorflow.core.example import example_pb2  # noqa: F401
from tensorflow.core.protobuf import meta_graph_pb2  # noqa: F401
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2  # noqa: F401
from tritonclient.grpc import service_pb2  # noqa: F401

from serving.stubs.foreign import kserve_v2_pb2, onnx_pb2, tensorflow_error_pb2, tensorflow_pb2, tensorflow_serving_pb2

pytestmark = pytest.mark.unit

OFFICIAL: DescriptorPool = Default()
FILES = (kserve_v2_pb2, onnx_pb2, tensorflow_error_pb2, tensorflow_pb2, tensorflow_serving_pb2)


def _nested(message: Descriptor) -> list[Descriptor]:
    return [message, *(inner for nested in message.nested_types for inner in _nested(nested))]


MESSAGES = [m for f in FILES for top in f.DESCRIPTOR.message_types_by_name.values() for m in _nested(top)]
ENUMS = [e for f in FILES for e in f.DESCRIPTOR.enum_types_by_name.values()] + [
    enum for message in MESSAGES for enum in message.enum_types
]
SERVICES = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]


def _field(field: FieldDescriptor) -> tuple[object, ...]:
    """All that decides about the bytes of a field, and its name."""
    target = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return (
        field.name,
        field.number,
        field.type,
        field.is_repeated,
        field.is_packed,
        target and target.full_name,
        oneof and oneof.name,
    )


def _values(enum: EnumDescriptor) -> set[tuple[str, int]]:
    return {(value.name, value.number) for value in enum.values}


def test_there_is_something_to_compare():
    assert len(MESSAGES) > 50
    assert len(ENUMS) >= 3
    assert {service.full_name for service in SERVICES} == {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "inference.GRPCInferenceService",
    }


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.full_name)
def test_every_field_of_ours_is_a_field_of_the_official_message(message):
    official = OFFICIAL.FindMessageTypeByName(message.full_name)
    assert official.file.pool is not message.file.pool
    assert {_field(field) for field in message.fields} <= {_field(field) for field in official.fields}
    assert message.GetOptions().map_entry == official.GetOptions().map_entry


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.full_name)
def test_every_enum_value_of_ours_is_an_official_one(enum):
    assert _values(enum) <= _values(OFFICIAL.FindEnumTypeByName(enum.full_name))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.full_name)
def test_every_method_of_ours_takes_and_returns_the_official_messages(service):
    official = OFFICIAL.FindServiceByName(service.full_name)
    for method in service.methods:
        theirs = official.methods_by_name[method.name]
        assert method.input_type.full_name == theirs.input_type.full_name
        assert method.output_type.full_name == theirs.output_type.full_name
        assert method.client_streaming == theirs.client_streaming
        assert method.server_streaming == theirs.server_streaming
