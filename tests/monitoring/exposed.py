"""What a gateway exposes that has met most of what may happen to one: the samples, to hold names and labels against."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client.samples import Sample

from tests.integration.publishing import answer, get, publish
from tests.support.fake_model_servers import FakeTriton
from tests.support.gateways import gateway
from tests.support.metrics import scrape, until
from tests.support.redis import RedisServer

PATIENCE = 60.0


def exposed(folder: Path) -> list[Sample]:
    """One model in this process with a second version that is refused, one at a server that dies, one at a server
    that was never there; both kinds of Redis; calls that are answered, turned away and failed.
    """
    models = folder / "models"
    for model in ("here", "remote", "never"):
        publish(models, model, 1, seed=0)
    publish(models, "here", 2, seed=1, spoil=lambda made: (made / "model.onnx").write_bytes(b"damaged"))
    (folder / "key").write_text("00112233445566778899aabbccddeeff\n")
    with contextlib.ExitStack() as stack:
        nobody = stack.enter_context(socket.socket())
        nobody.bind(("127.0.0.1", 0))  # without listening: connections are refused
        redis = stack.enter_context(RedisServer())
        triton = stack.enter_context(_triton())
        at = stack.enter_context(
            gateway(
                models,
                backends="onnxruntime;remote=triton;never=tf_serving",
                triton_address=triton.address,
                tf_serving_address=f"127.0.0.1:{nobody.getsockname()[1]}",
                cache="redis",
                redis_url=redis.url,
                cache_redis_url=redis.url,
                hash_key_file=folder / "key",
            )
        )
        assert answer(at, "here") is not None
        assert get(at, "/v2/models/here/infer", {"inputs": []})[0] == 400
        assert get(at, "/v2/models/here/infer", " " * (5 << 20))[0] == 413
        with grpc.insecure_channel(at.grpc) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary("/epm.v1.FeatureService/GetFacts")(b"", timeout=PATIENCE)
        assert get(at, "/v2/models/never/infer", {"inputs": []})[0] == 503
        asyncio.run_coroutine_threadsafe(triton.stop(), triton.loop).result(PATIENCE)
        row = {"name": "hours", "shape": [1], "datatype": "FP64", "data": [41]}
        assert until(lambda: get(at, "/v2/models/remote/infer", {"inputs": [row]})[0] == 503, PATIENCE)
        return scrape(at)


class _Triton(FakeTriton):
    """With the event loop that it lives on."""

    loop: asyncio.AbstractEventLoop


@contextlib.contextmanager
def _triton() -> Iterator[_Triton]:
    """A fake Triton in a thread of its own."""
    server = _Triton("remote")
    server.loop = asyncio.new_event_loop()
    thread = threading.Thread(target=server.loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), server.loop).result(PATIENCE)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), server.loop).result(PATIENCE)
        server.loop.call_soon_threadsafe(server.loop.stop)
        thread.join(PATIENCE)
        server.loop.close()
