"""The addresses of one target and a channel to each, shared by all models that are asked there."""

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path

from serving.backends.remote.addresses import Address, Resolve, Target, is_literal, resolve
from serving.backends.remote.endpoint import Endpoint
from serving.errors import SettingsError

log = logging.getLogger("epm.backends")

RESOLVE_SECONDS = 10.0
"""How often names are resolved again."""
_SOONEST_SECONDS = 1.0
"""Between two resolutions, also after failures."""
_RESOLVING_SECONDS = 5.0
"""That a resolution may take."""


class Servers:
    """Whatever stands at the addresses of one target. Made in any thread; then all on one event loop.

    Names are resolved to all their addresses, every RESOLVE_SECONDS and after failures. An address that its name no
    longer has gets no new calls, and its channel is closed when the last one is answered; if a name cannot be resolved,
    it keeps the addresses it had.
    """

    def __init__(
        self, target: str, ca_file: Path | None = None, *, setting: str = "target", resolve: Resolve = resolve
    ) -> None:
        """target: host:port[,host:port], with grpcs:// before it for TLS. ca_file: the authorities that are trusted,
        in PEM; None: those that gRPC knows. setting: how errors call the target. Raises SettingsError.
        """
        self._target = Target.parse(target, setting)
        try:
            self._roots = None if ca_file is None else ca_file.read_bytes()
        except OSError as error:
            raise SettingsError(f"{setting}: {ca_file}: {error.strerror}, expected a file", field=setting) from error
        self._resolve = resolve
        self.endpoints: tuple[Endpoint, ...] = ()
        """Of the addresses that are known now; another tuple after each change."""
        self.reason = "its addresses are not known yet"
        """Why there are no endpoints, when there are none."""
        self.resolving: asyncio.Task[None] | None = None
        """The resolution in progress."""
        self._known: dict[tuple[str, int], list[str]] = {}
        self._leaving: list[Endpoint] = []
        self._due = self._soonest = -float("inf")
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def __str__(self) -> str:
        return str(self._target)

    def tend(self) -> None:
        """Do what is due, or begin it. On the event loop; anybody may call it at any time."""
        if self._closed:
            return
        if self._due == -float("inf"):
            for host, port in self._target.places:
                if is_literal(host):
                    self._known[host, port] = [host]
            self._take()
        now = time.monotonic()
        if self.resolving is None and now >= self._due:
            names = [place for place in self._target.places if not is_literal(place[0])]
            self._due, self._soonest = (now + RESOLVE_SECONDS if names else float("inf")), now + _SOONEST_SECONDS
            if names:
                self.resolving = asyncio.get_running_loop().create_task(self._resolve_all(names))
        for endpoint in [endpoint for endpoint in self._leaving if not endpoint.calls]:
            self._leaving.remove(endpoint)
            self._begin_close(endpoint)

    def suspect(self) -> None:
        """Something failed: names are resolved again soon."""
        if self._due < float("inf"):
            self._due = min(self._due, self._soonest)

    async def close(self) -> None:
        """Close all channels; calls that wait fail, and so does every later one. Call it before the loop ends."""
        self._closed = True
        self.reason = "the gateway has left it"
        endpoints, self.endpoints = [*self.endpoints, *self._leaving], ()
        self._leaving.clear()
        if self.resolving is not None:
            self.resolving.cancel()
            await asyncio.wait({self.resolving})
        for endpoint in endpoints:
            self._begin_close(endpoint)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _resolve_all(self, names: list[tuple[str, int]]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for place in names:
                    group.create_task(self._resolve_one(place))
            self._take()
        finally:
            self.resolving = None

    async def _resolve_one(self, place: tuple[str, int]) -> None:
        try:
            async with asyncio.timeout(_RESOLVING_SECONDS):
                found = await self._resolve(*place)
        except (OSError, UnicodeError):  # the second: a name that cannot be one
            found = []
        if found:
            self._known[place] = found
        elif place not in self._known:
            self.reason = f"{place[0]} has no address"

    def _take(self) -> None:
        """Make the endpoints those of the known addresses."""
        wanted: dict[tuple[str, int], Address] = {}
        for host, port in self._target.places:
            for ip in self._known.get((host, port), ()):
                wanted.setdefault((ip, port), Address(ip, port, "" if is_literal(host) else host))
        kept = {endpoint.address: endpoint for endpoint in self.endpoints}
        if set(kept) == set(wanted.values()):
            return
        gone = [endpoint for address, endpoint in kept.items() if address not in wanted.values()]
        self._leaving += gone
        self.endpoints = tuple(
            kept.get(address) or Endpoint(address, self._target.secure, self._roots) for address in wanted.values()
        )
        if kept:
            log.info("%s: there are %d addresses now, there were %d", self, len(wanted), len(kept))

    def _begin_close(self, endpoint: Endpoint) -> None:
        task = asyncio.get_running_loop().create_task(_close(endpoint))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(endpoint: Endpoint) -> None:
    with suppress(Exception):  # of whatever kind: nobody asks there any more
        await endpoint.close()
