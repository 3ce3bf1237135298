"""The gateway put together: repository, pipeline, protocols, listeners; its start, its life and its end.

Importing this is cheap: Numba, onnxruntime and aiohttp are imported when a gateway is made.
"""

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from serving.errors import SettingsError
from serving.listeners.defects import defect
from serving.listeners.grpc_aio import GrpcListener
from serving.listeners.http import HttpListener
from serving.pipeline import Pipeline
from serving.protocols.epm import Epm
from serving.protocols.features import FeatureService
from serving.protocols.kserve import KServe
from serving.protocols.tf_serving import TfServing
from serving.repository.repository import Repository
from serving.settings import Settings
from serving.store.keys import HashKey
from serving.telemetry.metrics import Metrics
from serving.warm import warm

if TYPE_CHECKING:
    from serving.store.redis_store import OnlineStore

log = logging.getLogger("epm")


class Gateway:
    """One serving process. `start`, then `run_until_signalled` or `close`, all on one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.repository = Repository(Path(settings.model_repo), settings.intra_op_num_threads, self.metrics.loaded)
        self.store = _store(settings)
        self.pipeline = Pipeline(self.repository, settings, self.store, self.metrics.inputs)
        services = [
            service
            for protocol in (
                TfServing(self.pipeline),
                KServe(self.pipeline),
                Epm(self.pipeline),
                FeatureService(self.store, settings.max_rows),
            )
            for service in protocol.services()
        ]
        if self.store is not None:
            self.metrics.watch_store(self.store)
        self.metrics.watch(self._models_served, lambda: self.pipeline.rows_in_flight)
        self._grpc = GrpcListener(services, settings, self.metrics)
        self._http = HttpListener(self.pipeline, settings, self.metrics)
        self._watcher: asyncio.Task[None] | None = None
        self.grpc_port = self.http_port = 0

    async def start(self) -> None:
        """Listen and load. HTTP first, so that probes are answered while models load. Raises OSError, SettingsError."""
        if not self.repository.root.is_dir():
            raise SettingsError(f"EPM_MODEL_REPO: {str(self.repository.root)!r} is no folder", field="EPM_MODEL_REPO")
        self.http_port = await self._http.start(self.settings.host, self.settings.http_port)
        await asyncio.to_thread(warm, store=self.store is not None)
        if self.store is not None:
            await self.store.start()
        await asyncio.to_thread(self.repository.scan)
        self.grpc_port = await self._grpc.start(self.settings.host, self.settings.grpc_port)
        self._grpc.set_ready(self.pipeline.ready)
        if self.settings.repository_poll_seconds:
            self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Drain: not ready first, then finish what runs, then leave."""
        self.pipeline.draining = True
        if self._watcher:
            self._watcher.cancel()
        seconds = self.settings.drain_seconds
        await asyncio.gather(self._grpc.drain(seconds), self._http.drain(seconds))
        await self._http.close()
        self.pipeline.close()
        if self.store is not None:
            await self.store.close()

    async def run_until_signalled(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()
        log.info("draining, at most %g s", self.settings.drain_seconds)
        await self.close()

    def _models_served(self) -> int:
        return sum(bool(state.served) for state in self.repository.models.values())

    async def _watch(self) -> None:
        """Look at the repository from time to time; a failure is logged and does not end the watching."""
        while True:
            await asyncio.sleep(self.settings.repository_poll_seconds)
            try:
                await asyncio.to_thread(self.repository.scan)
            except OSError as error:
                log.error("the model repository cannot be read: %s", error.strerror)
            except Exception:  # of whatever kind: the next look may see a mended repository
                defect(log, "the watch over the model repository")
            self._grpc.set_ready(self.pipeline.ready)


def _store(settings: Settings) -> "OnlineStore | None":
    """The online store, if a Redis is set up. Raises SettingsError."""
    if not settings.redis_url:
        return None
    from serving.store.redis_store import OnlineStore  # with hiredis and the kernels of the replica

    key, timeout = HashKey.load(Path(settings.hash_key_file)), settings.redis_timeout_seconds
    return OnlineStore(settings.redis_url, key, settings.replica_bytes, timeout, settings.most_stale_seconds)


async def serve(settings: Settings) -> None:
    """Run a gateway until it is signalled; the line that begins `ready` names the ports once it answers."""
    gateway = Gateway(settings)
    await gateway.start()
    host = settings.host
    print(f"ready grpc={host}:{gateway.grpc_port} http={host}:{gateway.http_port}", flush=True)
    await gateway.run_until_signalled()
