"""The yardstick: a bare grpc.aio server on uvloop that gives every message back untouched.

A method with `Stream` in its name is a stream in both directions, any other is unary.

`python -m loadtest.echo_server [PORT]` prints `ready grpc=HOST:PORT`. It imports nothing of this project, so that it
also runs as a plain file where only grpcio and uvloop are installed.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import grpc
import uvloop

MAX_MESSAGE_BYTES = 16 << 20
"""As the gateway's default."""


class Echo(grpc.GenericRpcHandler):
    """Answers any method with the bytes it got, message by message."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return _STREAM if "Stream" in details.method.rpartition("/")[2] else _UNARY


async def _echo(message: bytes, _: grpc.aio.ServicerContext) -> bytes:
    return message


async def _echo_stream(messages: AsyncIterator[bytes], _: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for message in messages:
        yield message


_UNARY = grpc.unary_unary_rpc_method_handler(_echo)
_STREAM = grpc.stream_stream_rpc_method_handler(_echo_stream)


async def serve(port: int) -> None:
    """Listen on a port of 127.0.0.1 (0: a free one), print `ready grpc=HOST:PORT`, and stop on SIGTERM or SIGINT."""
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"ready grpc=127.0.0.1:{port}", flush=True)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
