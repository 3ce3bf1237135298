"""What the loops know of methods: paths, kinds, codecs; and the loops' own errors."""

import base64
from collections.abc import Iterable

import grpc
import numpy as np
from numpy.typing import NDArray

from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.handlers import SHUTTING_DOWN

CODECS = {
    "/inference.GRPCInferenceService/ModelInfer": at.KSERVE,
    "/tensorflow.serving.PredictionService/Predict": at.TF_SERVING,
    "/epm.v1.PredictionService/Predict": at.EPM,
    "/epm.v1.PredictionService/StreamPredict": at.EPM,
}
OK = 0


def kind(handler: grpc.RpcMethodHandler) -> int:
    """How a method is called."""
    if handler.request_streaming:
        return at.STREAMING if handler.response_streaming else at.CLIENT_STREAM
    return at.SERVER_STREAM if handler.response_streaming else at.UNARY


def trailers(status: int, message: str = "", metadata: Iterable[tuple[str, str | bytes]] = ()) -> bytes:
    """Trailers as records have them: pairs of texts, each behind its size of four bytes."""
    pairs = [(b"grpc-status", str(status).encode())]
    if message:
        pairs.append((b"grpc-message", percent_encoded(message)))
    for key, value in metadata:
        encoded = base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode()
        pairs.append((key.encode(), encoded))
    parts = []
    for name, text in pairs:
        parts += [len(name).to_bytes(4, "little"), len(text).to_bytes(4, "little"), name, text]
    return b"".join(parts)


def percent_encoded(message: str) -> bytes:
    """As gRPC writes messages (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): visible ASCII but %."""
    return b"".join(
        bytes((byte,)) if 32 <= byte <= 126 and byte != 37 else b"%%%02X" % byte
        for byte in message.encode("utf-8", "surrogatepass")
    )


def sentences(max_message: int, max_headers: int) -> list[bytes]:
    """The loops' own errors, as trailers, in the order of `loop_state_kernels`."""
    code = grpc.StatusCode
    said = {
        at.UNKNOWN_METHOD: (code.UNIMPLEMENTED, "Method not found!"),
        at.NO_ROOM: (code.RESOURCE_EXHAUSTED, "the gateway has no memory left for this call: try again later"),
        at.TOO_LONG_HEADERS: (code.RESOURCE_EXHAUSTED, f"got more headers than expected: at most {max_headers} bytes"),
        at.NOT_ONE_MESSAGE: (code.INTERNAL, "got something else than whole messages, expected one in a unary call"),
        at.SHUTTING_DOWN: (code.UNAVAILABLE, SHUTTING_DOWN),
        at.TOO_LARGE_IN_STREAM: (code.RESOURCE_EXHAUSTED, f"a message is larger than {max_message} bytes"),
    }
    return [trailers(said[number][0].value[0], said[number][1]) for number in range(at.SENTENCES)]


def nghttp2_pairs(pairs: Iterable[tuple[bytes, bytes]], kept: list[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """nghttp2_nv of headers; the texts are added to `kept`, which has to live as long."""
    rows = []
    for name, value in pairs:
        texts = [np.frombuffer(bytearray(text), np.uint8) for text in (name, value)]
        kept += texts
        rows.append([texts[0].ctypes.data, texts[1].ctypes.data, len(name), len(value), 2 | 4])
    return np.array(rows, np.int64)
