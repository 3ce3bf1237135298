"""The Open Inference Protocol (KServe v2) as Triton serves it."""

from typing import Any

from google.protobuf.message import DecodeError

from serving.backends.backend import Promised, Tensors
from serving.backends.remote.codec import Codec, Part, array_of, content_of, field
from serving.errors import ContractError
from serving.stubs.foreign import kserve_v2_pb2 as kserve

_TYPES = {"float32": ("FP32", "fp32_contents"), "int32": ("INT32", "int_contents")}


class Triton(Codec):
    """`ModelInfer`; numbers as raw bytes, as typed values too when they come so."""

    name = "triton"
    method = "/inference.GRPCInferenceService/ModelInfer"

    def encode(self, model: str, version: int, tensors: Tensors, promised: Promised) -> bytes:
        """As `Codec`."""
        request = kserve.ModelInferRequest(model_name=model, model_version=str(version))
        for name in promised:
            request.outputs.add(name=name)
        contents: list[Part] = []
        for name, values in tensors.items():
            request.inputs.add(name=name, datatype="FP32", shape=values.shape)
            contents += field(kserve.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER, [content_of(values)])
        return b"".join([request.SerializeToString(), *contents])

    def decode(self, answer: bytes, model: str, version: int, promised: Promised, rows: int) -> Tensors:
        """As `Codec`."""
        try:
            response = kserve.ModelInferResponse.FromString(answer)
        except DecodeError:
            raise ContractError("the answer is no ModelInferResponse") from None
        if response.model_name != model or response.model_version != str(version):
            raise ContractError("the answer is another model's or version's")
        raw = response.raw_output_contents
        if raw and len(raw) != len(response.outputs):
            raise ContractError(f"{len(raw)} raw contents for {len(response.outputs)} outputs")
        found: dict[str, Any] = {}
        for number, output in enumerate(response.outputs):
            name = output.name
            if name not in promised:
                continue
            kind, shape = promised[name]
            datatype, typed = _TYPES[kind]
            if output.datatype != datatype:
                raise ContractError(f"output {name}: got {output.datatype[:20]!r}, contract.json says {kind}")
            values = raw[number] if raw else getattr(output.contents, typed)
            found[name] = array_of(name, values, kind, output.shape, shape, rows)
        return found
