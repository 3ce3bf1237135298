"""A reference server for tests that speaks TF Serving's gRPC API. It is not TF Serving.

Real are the messages and services, from the official package tensorflow-serving-api, and what runs the graphs:
TensorFlow's own SavedModel loader and sessions, on one thread. Ours is all between them, after what the sources of TF
Serving 2.x do: which version answers, how a request is held to its signature, the status and words of each refusal.
There is no batching, no REST, no reload of changed folders, and no other method than Predict, GetModelMetadata and
GetModelStatus.

    python -m tests.support.tf_serving_program REPOSITORY PORT [--models-config FILE] [--delay-ms N] [--wrong-shape]
"""

import argparse
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

Tensors = dict[str, np.ndarray]
DEFAULT_SIGNATURE = "serving_default"
CODES = {code.value[0]: code for code in grpc.StatusCode}
"""TensorFlow's error codes are gRPC's."""


class Refused(Exception):
    """A request that is answered with a status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Signature:
    """One signature of a loaded SavedModel. run: values of the inputs in their order -> of the outputs in theirs."""

    inputs: list[str]
    outputs: list[str]
    run: Callable[..., list[np.ndarray]]


class Version:
    """One version of a model, loaded as TF Serving loads it: a session and the signatures of its MetaGraph."""

    def __init__(self, folder: Path) -> None:
        self.number = int(folder.name)
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        with session.graph.as_default():
            self.meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        self.signatures = {
            name: Signature(list(one.inputs), list(one.outputs), _runner(session, one))
            for name, one in self.meta_graph.signature_def.items()
            if not name.startswith("__")
        }


def _runner(session: tf.compat.v1.Session, signature: meta_graph_pb2.SignatureDef) -> Callable[..., list[np.ndarray]]:
    """A run that leaves shapes and types for the graph to refuse, as TF Serving does; Session.run looks at them."""
    options = config_pb2.CallableOptions()
    options.feed.extend(tensor.name for tensor in signature.inputs.values())
    options.fetch.extend(tensor.name for tensor in signature.outputs.values())
    return session._make_callable_from_options(options)


class Models:
    """The newest version of each model, as TF Serving serves by default."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.served = {folder.name: Version(_newest(folder)) for folder in folders}

    def find(self, spec: model_pb2.ModelSpec) -> Version:
        """Raises Refused."""
        if not spec.name:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
        if spec.WhichOneof("version_choice") == "version_label":
            label = spec.version_label
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        version, asked = self.served.get(spec.name), spec.version.value if spec.HasField("version") else None
        if version is None or asked not in (None, version.number):
            wanted = f"Latest({spec.name})" if asked is None else f"Specific({spec.name}, {asked})"
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}")
        return version


def _newest(folder: Path) -> Path:
    return max((path for path in folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata.

    delay: seconds that every run takes longer. wrong_shape: leave the last row out of every answer.
    """

    def __init__(self, models: Models, delay: float, wrong_shape: bool) -> None:
        self._models = models
        self._delay = delay
        self._wrong_shape = wrong_shape

    def Predict(  # noqa: N802 (the name is the protocol's)
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        try:
            version = self._models.find(request.model_spec)
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            answers = self._run(version, name, request)
        except Refused as refused:
            context.abort(refused.code, str(refused))
        except tf.errors.OpError as error:  # the graph's own words
            context.abort(CODES[error.error_code], error.message)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        response.model_spec.signature_name = name
        for output, values in answers.items():
            made = values[:-1] if self._wrong_shape else values
            response.outputs[output].CopyFrom(tf.make_tensor_proto(made))
        return response

    def _run(self, version: Version, name: str, request: predict_pb2.PredictRequest) -> Tensors:
        signature = version.signatures.get(name)
        if signature is None:
            message = f'Serving signature key "{name}" not found.'
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, message)
        inputs, outputs = _given(signature, request), _wanted(signature, request)
        if self._delay:
            time.sleep(self._delay)
        answers = dict(zip(signature.outputs, signature.run(*inputs), strict=True))
        return {output: answers[output] for output in outputs}

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        unknown = [field for field in request.metadata_field if field != "signature_def"]
        if not request.metadata_field:
            message = "GetModelMetadataRequest must specify at least one metadata_field"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        if unknown:
            message = f"Metadata field {unknown[0]} is not supported"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        try:
            version = self._models.find(request.model_spec)
        except Refused as refused:
            context.abort(refused.code, str(refused))
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=version.meta_graph.signature_def)
        response.metadata["signature_def"].Pack(signatures)
        return response


def _given(signature: Signature, request: predict_pb2.PredictRequest) -> list[np.ndarray]:
    """Values in the order of the signature. Raises Refused."""
    wrong = grpc.StatusCode.INVALID_ARGUMENT
    if len(request.inputs) != len(signature.inputs):
        extra = sorted(request.inputs.keys() - set(signature.inputs))
        missing = sorted(set(signature.inputs) - request.inputs.keys())
        raise Refused(
            wrong,
            f"input size does not match signature: {len(request.inputs)}!={len(signature.inputs)}. "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}.",
        )
    for name in request.inputs:
        if name not in signature.inputs:
            raise Refused(wrong, f"input tensor alias not found in signature: {name}.")
    values = []
    for name in signature.inputs:
        try:
            values.append(tf.make_ndarray(request.inputs[name]))
        except (TypeError, ValueError) as error:
            raise Refused(wrong, f"tensor parsing error: {name}") from error
    return values


def _wanted(signature: Signature, request: predict_pb2.PredictRequest) -> list[str]:
    """Names of the outputs to send. Raises Refused."""
    for number, name in enumerate(request.output_filter):
        if name not in signature.outputs:
            message = f"output tensor alias not found in signature: {name}"
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
        if name in request.output_filter[:number]:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"duplicate output tensor alias: {name}")
    return list(request.output_filter) or signature.outputs


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        spec = request.model_spec
        version, asked = self._models.served.get(spec.name), spec.version.value if spec.HasField("version") else None
        if version is None or asked not in (None, version.number):
            sought = "any versions" if asked is None else f"version {asked}"
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find {sought} of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        response.model_version_status.add(version=version.number, state=available).status.SetInParent()
        return response


def folders_of(repository: Path, models_config: Path | None) -> list[Path]:
    """Folders of the models to serve: those that models.config names, its /models being `repository`; else all."""
    if models_config is None:
        return [path for path in sorted(repository.iterdir()) if path.is_dir() and any(path.glob("*/saved_model.pb"))]
    config = text_format.Parse(models_config.read_text("utf-8"), model_server_config_pb2.ModelServerConfig())
    listed = config.model_config_list.config
    return [repository / PurePosixPath(model.base_path).relative_to("/models") for model in listed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--models-config", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--wrong-shape", action="store_true")
    given = parser.parse_args()
    models = Models(folders_of(given.repository, given.models_config))
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(64), options=options)
    service = PredictionService(models, given.delay_ms / 1000, given.wrong_shape)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)
    server.add_insecure_port(f"127.0.0.1:{given.port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
