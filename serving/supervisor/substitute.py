"""Who answers on the HTTP port while no worker does: before the first is ready, when all have ended, at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Substitute:
    """Alive, not ready, and able to tell metrics. Each connection is closed after its answer: the next one may find a
    worker."""

    def __init__(self, host: str, port: int, metrics: Callable[[], Awaitable[bytes]] | None) -> None:
        """metrics: None where they are off."""
        from aiohttp import web

        self._web, self._host, self._port, self._metrics = web, host, port, metrics
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._alive),
                web.get("/v2/health/live", self._alive),
                web.get("/readyz", self._not_ready),
                web.get("/v2/health/ready", self._not_ready),
                web.get("/metrics", self._exposition),
                web.route("*", "/{path:.*}", self._unavailable),
            ]
        )
        app.on_response_prepare.append(self._once)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._site: web.TCPSite | None = None
        self._one = asyncio.Lock()

    async def needed(self, needed: bool) -> None:
        """Listen, or no longer. Raises OSError."""
        async with self._one:
            if needed and self._site is None:
                if self._runner.server is None:
                    await self._runner.setup()
                self._site = self._web.TCPSite(self._runner, self._host, self._port, reuse_port=True)
                await self._site.start()
            elif not needed and self._site is not None:
                await self._site.stop()
                self._site = None

    async def close(self) -> None:
        """For good."""
        await self._runner.cleanup()

    async def _once(self, _: "web.Request", response: "web.StreamResponse") -> None:
        response.force_close()

    async def _alive(self, _: "web.Request") -> "web.Response":
        return self._web.Response(text="ok\n")

    async def _not_ready(self, _: "web.Request") -> "web.Response":
        return self._web.Response(status=503, text="not ready\n")

    async def _exposition(self, _: "web.Request") -> "web.Response":
        if self._metrics is None:
            raise self._web.HTTPNotFound(reason="metrics are off (EPM_METRICS)")
        return self._web.Response(body=await self._metrics(), headers={"Content-Type": EXPOSITION})

    async def _unavailable(self, _: "web.Request") -> "web.Response":
        return self._web.json_response({"error": "no worker of this gateway serves now"}, status=503)
