"""A fake TF Serving over `tensorflow-serving-api`'s own messages. In a module of its own: it imports TensorFlow."""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2

from tests.support.fake_model_servers import Answers, FakeServer


class FakeTfServing(FakeServer):
    """Knows one signature, that of ready tensors."""

    method = f"/{prediction_service_pb2.DESCRIPTOR.services_by_name['PredictionService'].full_name}/Predict"

    short = False
    """Leaves out repetitions of the last of typed values, as TensorFlow does."""

    def read(self, data: bytes) -> tuple[str, int, np.ndarray]:
        request = predict_pb2.PredictRequest.FromString(data)
        spec = request.model_spec
        assert spec.signature_name == "features"
        assert len(request.output_filter) > 0
        return spec.name, spec.version.value, tf.make_ndarray(request.inputs["features"])

    def write(self, answers: Answers, version: str) -> bytes:
        response = predict_pb2.PredictResponse()
        response.model_spec.name = self.model
        response.model_spec.version.value = int(version)
        for name, values in answers.items():
            tensor = response.outputs[name]
            tensor.CopyFrom(tf.make_tensor_proto(values))
            if self.typed:
                tensor.ClearField("tensor_content")
                field = {"f": tensor.float_val, "i": tensor.int_val}[values.dtype.kind]
                field[:] = values.ravel().tolist()
                while self.short and len(field) > 1 and field[-1] == field[-2]:
                    field.pop()
        return response.SerializeToString()
