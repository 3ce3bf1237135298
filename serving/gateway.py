"""The gateway put together: repository, pipeline, protocols, listeners; its start, its life and its end.

Importing this is cheap: Numba, onnxruntime and aiohttp are imported when a gateway is made.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from serving.backends.remote.remote import RemoteBackend
from serving.errors import SettingsError
from serving.hash_key import HashKey
from serving.inference import Inferences, Keeping
from serving.listeners.defects import defect
from serving.listeners.exchange import leave
from serving.listeners.grpc_aio import GrpcListener
from serving.listeners.http import HttpListener
from serving.pipeline import Pipeline
from serving.protocols.epm import Epm
from serving.protocols.features import FeatureService
from serving.protocols.kserve import KServe
from serving.protocols.method import Service
from serving.protocols.tf_serving import TfServing
from serving.repository.chosen import making, servers
from serving.repository.repository import Repository
from serving.settings import Settings
from serving.telemetry.metrics import Metrics
from serving.warm import warm

if TYPE_CHECKING:
    from serving.listeners.h2.listener import H2Listener
    from serving.store.redis_store import OnlineStore

log = logging.getLogger("epm")

TEND_SECONDS = 0.25
WAITING_SECONDS = 5.0


class Gateway:
    """One serving process. `start`, then `close`, both on one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(on=settings.metrics == "on")
        self.servers = servers(settings)
        self.repository = Repository(Path(settings.model_repo), making(settings, self.servers), self.metrics.loaded)
        self.store = _store(settings)
        self.kept = _kept(settings)
        inferences = Inferences(settings, self.metrics.backends, self.kept)
        self.pipeline = Pipeline(self.repository, settings, self.store, self.metrics.inputs, inferences)
        self.pipeline.starting = True
        services = [
            service
            for protocol in (
                TfServing(self.pipeline),
                KServe(self.pipeline),
                Epm(self.pipeline),
                FeatureService(self.store, settings.max_rows, self.pipeline.forget),
            )
            for service in protocol.services()
        ]
        if self.store is not None:
            self.metrics.watch_store(self.store)
        self.metrics.watch_servers(self._remotes)
        self.metrics.watch_caches(lambda: inferences.caches(self.pipeline.served()), self.kept.redis)
        self.metrics.watch_models(lambda: self.repository.models)
        self.metrics.watch_queues(self.pipeline)
        self.metrics.watch(lambda: self.pipeline.ready)
        self._grpc = _listener(services, settings, self.metrics, self.pipeline)
        self._http = HttpListener(self.pipeline, settings, self.metrics)
        self._tasks: list[asyncio.Task[None]] = []
        self.grpc_port = self.http_port = 0

    async def start(self) -> None:
        """Listen and load. HTTP first, so that probes are answered while models load. Raises OSError, SettingsError."""
        if not self.repository.root.is_dir():
            raise SettingsError(f"EPM_MODEL_REPO: {str(self.repository.root)!r} is no folder", field="EPM_MODEL_REPO")
        self.http_port = await self._http.start(self.settings.host, self.settings.http_port)
        compiled_listener = self.settings.listener != "grpc_aio"
        await asyncio.to_thread(warm, store=self.store is not None, csv=False, listener=compiled_listener)
        from serving.jit import counts  # Numba is imported by now

        self.metrics.watch_kernels(counts)
        if self.store is not None:
            await self.store.start()
        if self.kept.redis is not None:
            await self.kept.redis.start()
        if self.servers:
            self._tasks.append(asyncio.create_task(self._tend()))
        await asyncio.to_thread(self.repository.scan)
        for name, model in self.settings.named():
            if model not in self.repository.models:
                log.warning("%s names the model %s, which is not in the repository", name, model)
        self.grpc_port = await self._grpc.start(self.settings.host, self.settings.grpc_port)
        self.pipeline.starting = False
        self._grpc.set_ready(self.pipeline.ready)
        await self._http.join(self.settings.host, self.http_port)
        self._tasks.append(asyncio.create_task(self._watch()))

    async def close(self) -> None:
        """Drain: not ready first, then finish what runs, then leave."""
        self.pipeline.draining = True
        for task in self._tasks:
            task.cancel()
        seconds = self.settings.drain_seconds
        await asyncio.gather(self._grpc.drain(seconds), self._http.drain(seconds))
        await self._http.close()
        self.pipeline.close()
        if self.store is not None:
            await self.store.close()
        if self.kept.redis is not None:
            await self.kept.redis.close()
        for asked in self.servers.values():
            await asked.close()

    async def _watch(self) -> None:
        """Look at the repository from time to time; a failure is logged and does not end the watching.

        Where it is to be looked at only at start, that start lasts until no version waits for its server.
        """
        seconds = self.settings.repository_poll_seconds
        while seconds or self.repository.waits:
            await asyncio.sleep(seconds or WAITING_SECONDS)
            try:
                await asyncio.to_thread(self.repository.scan)
                self._grpc.set_ready(self.pipeline.ready)
            except OSError as error:
                log.error("the model repository cannot be read: %s", error.strerror)
            except Exception:  # of whatever kind: the next look may see a mended repository
                defect(log, "the watch over the model repository")

    async def _tend(self) -> None:
        """Let backends at servers look after themselves: their proofs are due, whether or not anybody calls."""
        while True:
            try:
                for _, _, backend in self._remotes():
                    backend.tend()
            except Exception:  # of whatever kind: nothing would ever be proven again
                defect(log, "tending backends")
            await asyncio.sleep(TEND_SECONDS)

    def _remotes(self) -> Iterator[tuple[str, int, RemoteBackend]]:
        """Model, version and backend of what is executed at servers."""
        for state in list(self.repository.models.values()):
            for served in state.served.values():
                for backend in dict.fromkeys((*served.backends, served.shadow)):
                    if isinstance(backend, RemoteBackend):
                        yield served.name, served.version, backend


def _listener(
    services: list[Service], settings: Settings, metrics: Metrics, pipeline: Pipeline
) -> "GrpcListener | H2Listener":
    """What gRPC calls arrive at. Raises SettingsError."""
    if settings.listener == "grpc_aio":
        return GrpcListener(services, settings, metrics)
    from serving.listeners.h2.listener import H2Listener  # with Numba

    return H2Listener(services, settings, metrics, pipeline)


def _kept(settings: Settings) -> Keeping:
    """How predictions are kept. Raises SettingsError."""
    key = HashKey.load(Path(settings.hash_key_file)) if settings.hash_key_file else None
    if key is None or not settings.cache_redis_url:
        return Keeping(key)
    from serving.cache.redis_cache import RedisCache  # with hiredis

    return Keeping(key, RedisCache(settings.cache_redis_url, key, settings.cache_timeout_seconds))


def _store(settings: Settings) -> "OnlineStore | None":
    """The online store, if a Redis is set up. Raises SettingsError."""
    if not settings.redis_url:
        return None
    from serving.store import keys
    from serving.store.redis_store import OnlineStore  # with hiredis and the kernels of the replica

    key, timeout = keys.HashKey.load(Path(settings.hash_key_file)), settings.redis_timeout_seconds
    return OnlineStore(settings.redis_url, key, settings.replica_bytes, timeout, settings.most_stale_seconds)


async def serve(settings: Settings) -> None:
    """Run a gateway until SIGTERM or SIGINT, then drain it; the line that begins `ready` names the ports once it
    answers. One that is signalled before has nothing to finish, and ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(settings)
    starting, stopping = loop.create_task(gateway.start()), loop.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        log.info("told to end before it was ready")
        os._exit(0)  # a thread that loads a model or compiles cannot be told to stop, and the loop would wait for it
    await starting
    host = settings.host
    print(f"ready grpc={host}:{gateway.grpc_port} http={host}:{gateway.http_port}", flush=True)
    await stopping
    log.info("draining, at most %g s", settings.drain_seconds)
    await gateway.close()
    if settings.worker:
        leave(await gateway.metrics.text())
    os._exit(0)  # for the same reason: the repository may just be looked at
