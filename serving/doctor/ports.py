"""The ports: free, or answered by a gateway; which one, and whether it is ready."""

import asyncio
import errno
import http.client
import json
import socket
from contextlib import suppress

import grpc
import grpc.aio

from serving.doctor.aside import aside
from serving.doctor.finding import Finding, Findings, failed, ok, warning
from serving.doctor.installation import Installation
from serving.protocols.kserve import SERVER_NAME
from serving.version import __version__

ASK_SECONDS = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (where to ask who listens on all addresses)


async def check(installation: Installation) -> Findings:
    """Can both ports be bound, and if not: is it a gateway that has them?"""
    settings = installation.settings
    host, ports = settings.host, {"EPM_GRPC_PORT": settings.grpc_port, "EPM_HTTP_PORT": settings.http_port}
    if settings.grpc_port == settings.http_port != 0:
        yield failed(f"EPM_GRPC_PORT and EPM_HTTP_PORT are both {settings.grpc_port}", "choose two ports")
        return
    for name, port in ports.items():
        if port == 0:
            yield ok(f"{name}: 0, a free port is taken")
            continue
        try:
            await _bind(host, port)
        except socket.gaierror:
            yield failed(f"EPM_HOST: {host} has no address", "correct EPM_HOST")
        except OSError as error:
            yield await _why(name, host, port, error)
        else:
            yield ok(f"{name}: {host}:{port} is free")


async def _bind(host: str, port: int) -> None:
    """Raises OSError when nobody could listen there now. It never listens."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)


async def _why(name: str, host: str, port: int, error: OSError) -> Finding:
    where = f"{name}: {host}:{port}"
    if error.errno == errno.EADDRNOTAVAIL:
        return failed(f"EPM_HOST: this machine does not have the address {host}", "set EPM_HOST to 0.0.0.0, or its own")
    if error.errno != errno.EADDRINUSE:
        return failed(f"{where}: {error.strerror}", f"choose another {name}: below 1024 a right is needed")
    at = _EVERYWHERE.get(host, host)
    version, ready = await (_grpc(at, port) if name == "EPM_GRPC_PORT" else _http(at, port))
    if not version:
        return failed(f"{where}: another program listens there", f"end it, or choose another {name}")
    found = f"{where}: a gateway ({version}) answers there, {'ready' if ready else 'not ready'}"
    if not ready:
        return warning(found, "it is starting or leaving, or serves no model: see its log and the check `repository`")
    if version != __version__:
        return warning(found, f"this is version {__version__}: restart the gateway if that was an upgrade")
    return ok(found)


async def _http(host: str, port: int) -> tuple[str, bool]:
    """Version of the gateway, empty where it is none; and whether it is ready."""

    def get(path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(host, port, timeout=ASK_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read(1 << 16)
        finally:
            connection.close()

    with suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
        said = json.loads((await aside(lambda: get("/v2")))[1])
        if said.get("name") == SERVER_NAME:
            return str(said.get("version"))[:20], (await aside(lambda: get("/readyz")))[0] == 200
    return "", False


async def _grpc(host: str, port: int) -> tuple[str, bool]:
    """The same, over gRPC."""
    from grpc_health.v1 import health_pb2

    from serving.stubs.foreign import kserve_v2_pb2 as v2

    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        metadata = channel.unary_unary(
            "/inference.GRPCInferenceService/ServerMetadata",
            v2.ServerMetadataRequest.SerializeToString,
            v2.ServerMetadataResponse.FromString,
        )
        health = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        try:
            said = await metadata(v2.ServerMetadataRequest(), timeout=ASK_SECONDS)
            if said.name != SERVER_NAME:
                return "", False
        except grpc.aio.AioRpcError as error:
            if "shutting down" not in (error.details() or ""):
                return "", False
            return "version unknown", False
        with suppress(grpc.aio.AioRpcError):
            answer = await health(health_pb2.HealthCheckRequest(), timeout=ASK_SECONDS)
            return said.version[:20], answer.status == health_pb2.HealthCheckResponse.SERVING
    return said.version[:20], False
