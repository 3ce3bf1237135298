"""The servers that models are executed at: their names resolve, they answer, they have these very models."""

import asyncio
from contextlib import suppress

from serving.backends.remote.breaker import State
from serving.backends.remote.remote import RemoteBackend
from serving.backends.remote.servers import Servers
from serving.doctor.aside import aside
from serving.doctor.finding import Findings, failed, ok, warning
from serving.doctor.installation import Installation
from serving.errors import EpmError
from serving.repository.chosen import at_server, servers
from serving.repository.golden import Golden
from serving.repository.served import ServedModel
from serving.settings import environment_name

LOOK_SECONDS = 0.02
RESOLVE_SECONDS = 5.0
"""Besides the timeout of a call, for a proof."""


async def check(installation: Installation) -> Findings:
    """Golden rows of each version, put to each address of each server that it may be executed at."""
    settings = installation.settings
    asked = servers(settings)
    if not asked:
        yield ok("every model is executed by gateways themselves")
        return
    if await installation.missing_kernel():
        yield warning("no server was asked: without compiled kernels there are no golden rows", "run `epm warm` first")
        return
    try:
        try:
            models = (await installation.models()).models
        except OSError:
            yield warning("no server was asked: the models cannot be read", "see the check `repository`")
            return
        found: list[tuple[str, ServedModel, asyncio.Task[RemoteBackend]]] = []
        for state in models.values():
            for served in state.served.values():
                chosen = (*settings.chosen("backends", served.name), *settings.chosen("shadow_backend", served.name))
                for name in dict.fromkeys(name for name in chosen if name in asked):
                    proving = asyncio.create_task(_proven(installation, name, asked[name], served))
                    found.append((name, served, proving))
        for name in sorted(asked.keys() - {name for name, _, _ in found}):
            setting = environment_name(f"{name}_address")
            yield warning(f"no model is executed at {setting}", f"name {name} in EPM_BACKENDS, or unset {setting}")
        for name, served, proving in found:
            backend, setting = await proving, environment_name(f"{name}_address")
            what = f"{served.name} version {served.version}"
            if not backend.states():
                yield failed(f"{backend.unavailable} ({what})", f"correct {setting}")
            for state_of in backend.states():
                where = f"{name} {state_of.address}: {what}"
                if state_of.state is State.CLOSED:
                    yield ok(f"{where}: it answers the golden rows rightly")
                else:
                    yield failed(f"{where}: {state_of.reason}", _advice(state_of.reason, setting, what))
    finally:
        for one in asked.values():
            await one.close()


async def _proven(installation: Installation, name: str, servers: Servers, served: ServedModel) -> RemoteBackend:
    """The backend when each of its addresses is judged, or the time is over."""
    path = installation.root / served.name / str(served.version) / "golden.npz"
    proof = (await aside(lambda: Golden(served, path))).proof()
    timeout = installation.settings.backend_timeout_seconds
    backend = at_server(name, servers, served.contract, served.version, proof, timeout)
    with suppress(EpmError, TimeoutError):
        async with asyncio.timeout(RESOLVE_SECONDS + timeout):
            await backend.prove()
            while any(at.state is State.HALF_OPEN for at in backend.states()):  # noqa: ASYNC110 (breakers tell nobody)
                await asyncio.sleep(LOOK_SECONDS)
    return backend


def _advice(reason: str, setting: str, what: str) -> str:
    if ("answer" in reason and "no answer" not in reason) or "does not serve" in reason:
        return f"give the server {what} from this repository (the same files), or correct {setting}"
    if "protocol" in reason:
        return f"correct {setting}: it takes the port of gRPC, not of HTTP"
    return f"start the server, open the way to it, or correct {setting}"
