"""Server reflection over the official names of all services."""

from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor


def reflection_service(names: list[str]) -> tuple[str, dict[str, grpc.RpcMethodHandler]]:
    """Name and handlers of grpc.reflection.v1alpha.ServerReflection, listing the services in `names` and itself.

    Messages of other servers live in a pool of their own; reflection serves one pool, so it gets one with everything.
    """
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import _async, reflection_pb2

    from serving.stubs.epm.v1 import features_pb2, prediction_pb2
    from serving.stubs.foreign import kserve_v2_pb2, tensorflow_serving_pb2

    pool = descriptor_pool.DescriptorPool()
    for module in (health_pb2, reflection_pb2, prediction_pb2, features_pb2, kserve_v2_pb2, tensorflow_serving_pb2):
        _add(pool, module.DESCRIPTOR, set())
    service = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name
    servicer: Any = _async.ReflectionServicer([*names, service], pool=pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return service, {"ServerReflectionInfo": handler}


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, seen: set[str]) -> None:
    """Copy a file into `pool`, what it imports first."""
    if file.name in seen:
        return
    seen.add(file.name)
    for imported in file.dependencies:
        _add(pool, imported, seen)
    pool.AddSerializedFile(file.serialized_pb)
