"""HTTP: metrics, probes, and REST of both protocol families."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from serving.errors import EpmError, InvalidInput, NotReady, Status, TooLate
from serving.listeners.defects import defect, without_callers
from serving.listeners.exchange import METRICS, PING, answer, ask
from serving.listeners.worker_place import WorkerPlace
from serving.pipeline import Pipeline
from serving.protocols.json_values import dump
from serving.protocols.method import PRIORITY, Call, priority
from serving.protocols.rest_kserve import RestKServe
from serving.protocols.rest_tf import RestTf
from serving.settings import Settings
from serving.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("epm.http")

HTTP_STATUS = {
    Status.INVALID_ARGUMENT: 400,
    Status.NOT_FOUND: 404,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 412,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
}
"""As google.rpc.Code maps to HTTP."""

JSON = "application/json"
BODY_SECONDS = 30
ALL_WORKERS_SECONDS = 8
"""How long the supervisor may take to collect their metrics."""
MODEL_V1 = r"/v1/models/{model:[^/:]+}"
VERSION_V1 = r"/versions/{version:\d{1,18}}"
LABEL_V1 = r"/labels/{label:[^/:]+}"
MODEL_V2 = r"/v2/models/{model:[^/]+}"
VERSION_V2 = r"/versions/{version:\d{1,18}}"

Answer = Callable[[bytes, Call, dict[str, Any]], Awaitable[bytes]]


class HttpListener:
    """The HTTP port. Starts before the first model is loaded, so that probes are answered from the beginning.

    A worker answers only its supervisor from the beginning; it joins the port that all workers share when it is ready.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings, metrics: Metrics) -> None:
        from aiohttp import web  # 0.2 s, needed only where a gateway runs

        self._web = web
        self._pipeline = pipeline
        self._metrics = metrics
        self._tf, self._kserve = RestTf(pipeline), RestKServe(pipeline)
        self._running = 0
        self._place = WorkerPlace.read(settings.worker) if settings.worker else None
        self._shared: web.TCPSite | None = None
        self._private: asyncio.Server | None = None
        app = web.Application(client_max_size=settings.max_message_bytes, middlewares=[self._in_json()])
        app.add_routes(self._operations() + self._v1() + self._v2())
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=min(2.0, settings.drain_seconds)
        )
        logging.getLogger("aiohttp.server").addFilter(without_callers)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound. Raises OSError when it cannot be."""
        await self._runner.setup()
        if self._place is not None:
            self._private = await answer(self._place.socket, {PING: self._ping, METRICS: self._own_metrics})
            return port
        await self._web.TCPSite(self._runner, host, port).start()
        return self._runner.addresses[0][1]

    async def join(self, host: str, port: int) -> None:
        """Where workers share the port: listen on it, too. Raises OSError when that cannot be."""
        if self._place is not None:
            self._shared = self._web.TCPSite(self._runner, host, port, reuse_port=True)
            await self._shared.start()

    async def drain(self, seconds: float) -> None:
        """Wait until running predictions have finished, at most so long; metrics and probes are answered meanwhile."""
        if self._shared is not None:
            await self._shared.stop()  # who connects from now on finds another worker
        give_up = time.monotonic() + seconds
        while self._running and time.monotonic() < give_up:  # noqa: ASYNC110 (an event would cost every call something)
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Leave."""
        await self._runner.cleanup()
        if self._private is not None:
            self._private.close()

    def _in_json(self) -> Any:
        """What aiohttp itself refuses (no such path, too large a body) is said as JSON too."""

        @self._web.middleware
        async def handle(request: "web.Request", handler: Any) -> Any:
            try:
                return await handler(request)
            except self._web.HTTPException as refusal:
                body = dump({"error": refusal.reason})
                return self._web.Response(status=refusal.status, body=body, content_type=JSON)

        return handle

    def _operations(self) -> list["web.RouteDef"]:
        get = self._web.get
        return [
            get("/metrics", self._exposition),
            get("/livez", self._probe(lambda: True)),
            get("/readyz", self._probe(lambda: self._pipeline.ready)),
            get("/v2/health/live", self._probe(lambda: True)),
            get("/v2/health/ready", self._probe(lambda: self._pipeline.ready)),
        ]

    def _v1(self) -> list["web.RouteDef"]:
        get, post, tf = self._web.get, self._web.post, self._tf
        routes = []
        for chosen in ("", VERSION_V1, LABEL_V1):
            path = MODEL_V1 + chosen
            predict = self._handler("rest_tf", "predict", lambda body, call, at: tf.predict(body, call, **at))
            status = self._handler("rest_tf", "status", _plain(lambda body, at: tf.status(**at)))
            metadata = self._handler("rest_tf", "metadata", _plain(lambda body, at: tf.metadata(**at)))
            routes += [post(path + ":predict", predict), get(path, status), get(path + "/metadata", metadata)]
        return routes

    def _v2(self) -> list["web.RouteDef"]:
        get, post, v2 = self._web.get, self._web.post, self._kserve
        server = self._handler("rest_kserve", "server", _plain(lambda body, at: v2.server()))
        index = self._handler("rest_kserve", "index", _plain(lambda body, at: v2.index(body)))
        routes = [get("/v2", server), post("/v2/repository/index", index)]
        for chosen in ("", VERSION_V2):
            path = MODEL_V2 + chosen
            infer = self._handler("rest_kserve", "infer", lambda body, call, at: v2.infer(body, call, **_v2_path(at)))
            model = self._handler("rest_kserve", "model", _plain(lambda body, at: v2.model(**_v2_path(at))))
            routes += [post(path + "/infer", infer), get(path, model), get(path + "/ready", self._model_ready)]
        return routes

    def _handler(self, protocol: str, method: str, answer: Answer) -> Any:
        response, refusal = self._web.Response, self._web.HTTPException
        measured = (protocol, method)

        async def handle(request: "web.Request") -> "web.Response":
            watch = self._metrics.begun(measured)
            call, outcome, runs = Call(None, watch=watch), "CANCELLED", False
            try:
                try:
                    if "Inference-Header-Content-Length" in request.headers:
                        raise InvalidInput("the body: got the binary tensor extension, expected JSON; or use gRPC")
                    call.priority = priority(request.headers.get(PRIORITY))
                    sent = await self._body(request)
                    watch.restart()  # how long a caller takes to send, and to read, says nothing of the gateway
                    if self._pipeline.draining:
                        raise NotReady("this gateway is shutting down: ask another one")
                    runs = True
                    self._running += 1
                    answered = response(body=await answer(sent, call, _path(request)), content_type=JSON)
                    outcome = "OK"
                except EpmError as error:
                    outcome = error.status.name
                    answered = response(status=HTTP_STATUS[error.status], body=_error(error), content_type=JSON)
                except refusal:  # too large a body: aiohttp knows what to say
                    outcome = "INVALID_ARGUMENT"  # the caller's mistake, not a gateway that is full
                    raise
                except ConnectionError:  # the caller left in the middle of its body: nobody reads this answer
                    answered = response(status=400)
                except Exception:
                    outcome = "INTERNAL"
                    answered = response(status=500, body=_error(defect(log, method)), content_type=JSON)
                finally:
                    self._metrics.finished(measured, call.model, outcome, watch)
                if runs:
                    with suppress(ConnectionError):  # the caller left; aiohttp, which writes it once more, sees it
                        await answered.prepare(request)
                        await answered.write_eof()  # here, so that `drain` waits until it is written
                return answered
            finally:
                self._running -= runs

        return handle

    async def _body(self, request: "web.Request") -> bytes:
        """The bytes of the body. Raises InvalidInput when they are not as headers say, TooLate when they do not come.

        Of other encodings aiohttp 3.14 cannot read all, and on a wrong `deflate` it waits for ever.
        """
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding not in ("identity", "gzip"):
            raise InvalidInput(f"the body: got Content-Encoding {encoding[:20]!r}, expected gzip or none")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except TimeoutError:
            raise TooLate(f"the body did not come within {BODY_SECONDS} s") from None
        except self._web.RequestPayloadError:
            raise InvalidInput("the body: got bytes that are not encoded as its headers say") from None

    async def _exposition(self, request: "web.Request") -> "web.Response":
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        if not self._metrics.on:
            raise self._web.HTTPNotFound(reason="metrics are off (EPM_METRICS)")
        text = await self._own_metrics() if self._place is None else await self._all_metrics(self._place)
        return self._web.Response(body=text, headers={"Content-Type": content_type})

    async def _own_metrics(self) -> bytes:
        return await self._metrics.text() if self._metrics.on else b""

    async def _all_metrics(self, place: WorkerPlace) -> bytes:
        text = await ask(place.supervisor, METRICS, ALL_WORKERS_SECONDS)
        if text is None:
            raise self._web.HTTPServiceUnavailable(reason="the supervisor does not answer")
        return text

    async def _ping(self) -> bytes:
        return b""

    def _probe(self, holds: Callable[[], bool]) -> Any:
        async def handle(request: "web.Request") -> "web.Response":
            good = holds()
            return self._web.Response(status=200 if good else 503, text="ok\n" if good else "not ready\n")

        return handle

    async def _model_ready(self, request: "web.Request") -> "web.Response":
        try:
            ready = self._kserve.model_ready(**_v2_path(_path(request)))
        except EpmError as error:
            return self._web.Response(status=HTTP_STATUS[error.status], body=_error(error), content_type=JSON)
        return self._web.Response(status=200 if ready else 503)


def _plain(answer: Callable[[bytes, dict[str, Any]], bytes]) -> Answer:
    async def call(body: bytes, _: Call, at: dict[str, Any]) -> bytes:
        return answer(body, at)

    return call


def _path(request: "web.Request") -> dict[str, Any]:
    """model, version, label from the path."""
    found = request.match_info
    version = found.get("version")
    return {
        "model": found.get("model"),
        "version": None if version is None else int(version),
        "label": found.get("label"),
    }


def _v2_path(at: dict[str, Any]) -> dict[str, Any]:
    return {"model": at["model"], "version": at["version"]}


def _error(error: EpmError) -> bytes:
    return dump({"error": error.message})
