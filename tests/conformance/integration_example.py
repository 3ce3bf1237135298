"""The integration example as an application writes it: only tensorflow-serving-api, nothing of this project."""

import json
import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def main(address: str) -> None:
    """Ask for one grade, print what came back as JSON."""
    channel = grpc.insecure_channel(address)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "performance_model"
    request.inputs["hours"].CopyFrom(tf.make_tensor_proto([40]))
    response = stub.Predict(request, 10.0)

    assert request.inputs["hours"].dtype == tf.int32.as_datatype_enum
    ours = [name for name in sys.modules if name.split(".")[0] in ("serving", "exporters", "tests")]
    outputs = {name: tf.make_ndarray(tensor).tolist() for name, tensor in response.outputs.items()}
    texts = {name: [cell.decode() for cell in outputs.pop(name)] for name in ("grade", "warnings")}
    print(json.dumps({**outputs, **texts, "ours": ours, "model": response.model_spec.name}))


if __name__ == "__main__":
    main(sys.argv[1])
