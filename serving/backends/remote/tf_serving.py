"""TF Serving's `Predict`, by the signature that takes the graph's own tensors."""

from typing import Any

from google.protobuf.message import DecodeError

from serving.backends.backend import Promised, Tensors
from serving.backends.remote.codec import Codec, Part, array_of, content_of, field
from serving.errors import ContractError
from serving.stubs.foreign import tensorflow_pb2 as tf
from serving.stubs.foreign import tensorflow_serving_pb2 as serving

SIGNATURE = "features"
"""As `exporters.formats.saved_model` writes it."""
_KEY, _VALUE = 1, 2
"""Fields of an entry of any map in protobuf."""
_TYPES = {"float32": (tf.DT_FLOAT, "float_val"), "int32": (tf.DT_INT32, "int_val")}


class TfServing(Codec):
    """`Predict`; numbers as tensor_content, as typed values too when they come so."""

    name = "tf_serving"
    method = "/tensorflow.serving.PredictionService/Predict"

    def encode(self, model: str, version: int, tensors: Tensors, promised: Promised) -> bytes:
        """As `Codec`."""
        request = serving.PredictRequest(output_filter=promised)
        request.model_spec.name = model
        request.model_spec.version.value = version
        request.model_spec.signature_name = SIGNATURE
        inputs: list[Part] = []
        for name, values in tensors.items():
            head = tf.TensorProto(dtype=tf.DT_FLOAT)
            for size in values.shape:
                head.tensor_shape.dim.add(size=size)
            content = field(tf.TensorProto.TENSOR_CONTENT_FIELD_NUMBER, [content_of(values)])
            entry = [*field(_KEY, [name.encode()]), *field(_VALUE, [head.SerializeToString(), *content])]
            inputs += field(serving.PredictRequest.INPUTS_FIELD_NUMBER, entry)
        return b"".join([request.SerializeToString(), *inputs])

    def decode(self, answer: bytes, model: str, version: int, promised: Promised, rows: int) -> Tensors:
        """As `Codec`."""
        try:
            response = serving.PredictResponse.FromString(answer)
        except DecodeError:
            raise ContractError("the answer is no PredictResponse") from None
        spec = response.model_spec
        if spec.name != model or spec.version.value != version:
            raise ContractError("the answer is another model's or version's")
        found: dict[str, Any] = {}
        for name, (kind, shape) in promised.items():
            if name not in response.outputs:
                continue
            tensor = response.outputs[name]
            dtype, typed = _TYPES[kind]
            if tensor.dtype != dtype:
                raise ContractError(f"output {name}: got data type {tensor.dtype}, contract.json says {kind}")
            sizes = [dim.size for dim in tensor.tensor_shape.dim]
            values = tensor.tensor_content or getattr(tensor, typed)
            found[name] = array_of(name, values, kind, sizes, shape, rows, repeat=True)  # as TensorFlow writes
        return found
