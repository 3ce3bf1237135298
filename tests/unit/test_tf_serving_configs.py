"""TF Serving's two files in the model repository are what its own messages take, and name what lies there."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from tests.conftest import MODEL_REPO

pytestmark = pytest.mark.unit
WRAPPED = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")


def batching_parameters():
    """TF Serving's BatchingParameters as of 2.x: no package on PyPI has this message."""
    file = descriptor_pb2.FileDescriptorProto(name="session_bundle_config.proto", package="tensorflow.serving")
    file.syntax = "proto3"
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    field = descriptor_pb2.FieldDescriptorProto
    optional, repeated = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    for number, name in enumerate(WRAPPED, 1):
        wrapper = ".google.protobuf.Int64Value"
        message.field.add(name=name, number=number, label=optional, type=field.TYPE_MESSAGE, type_name=wrapper)
    wrapper = ".google.protobuf.StringValue"
    message.field.add(name="thread_pool_name", number=5, label=optional, type=field.TYPE_MESSAGE, type_name=wrapper)
    message.field.add(name="allowed_batch_sizes", number=6, label=repeated, type=field.TYPE_INT64)
    message.field.add(name="pad_variable_length_inputs", number=7, label=optional, type=field.TYPE_BOOL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters"))()


def test_models_config_lists_every_model_of_the_repository_and_nothing_else() -> None:
    text = (MODEL_REPO / "models.config").read_text("utf-8")
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    listed = config.model_config_list.config
    assert sorted(model.name for model in listed) == sorted(path.name for path in MODEL_REPO.iterdir() if path.is_dir())
    for model in listed:
        assert (model.base_path, model.model_platform) == (f"/models/{model.name}", "tensorflow")
        assert model.model_version_policy.latest.num_versions == 1


def test_batching_config_says_what_tf_serving_knows() -> None:
    parsed = text_format.Parse((MODEL_REPO / "batching.config").read_text("utf-8"), batching_parameters())
    assert all(parsed.HasField(name) for name in WRAPPED)
    assert parsed.batch_timeout_micros.value == 0
    assert list(parsed.allowed_batch_sizes) == []


def test_both_servers_take_batches_of_the_same_size() -> None:
    parsed = text_format.Parse((MODEL_REPO / "batching.config").read_text("utf-8"), batching_parameters())
    for config in MODEL_REPO.glob("*/config.pbtxt"):
        assert f"max_batch_size: {parsed.max_batch_size.value}\n" in config.read_text("utf-8")


def test_the_gateway_takes_neither_for_a_model(tmp_path: Path) -> None:
    from serving.repository.repository import Repository

    for name in ("models.config", "batching.config"):
        (tmp_path / name).write_bytes((MODEL_REPO / name).read_bytes())
    (tmp_path / "configs").mkdir()
    repository = Repository(tmp_path, 1)
    repository.scan()
    assert dict(repository.models) == {}
