"""All checks, side by side, each within its time."""

import asyncio
from collections.abc import Callable, Sequence

from serving.doctor import backends, compiled, files, limits, listener, models, ports, redis
from serving.doctor.finding import Finding, Findings, failed, ok
from serving.doctor.installation import Installation
from serving.errors import EpmError
from serving.settings import Settings


async def _settings(installation: Installation) -> Findings:
    """They were read, else nothing would be checked; which are set."""
    set_here = installation.settings.changed()
    yield ok(f"set: {', '.join(set_here)}" if set_here else "all settings have their defaults")


CHECKS: dict[str, Callable[[Installation], Findings]] = {
    "settings": _settings,
    "files": files.check,
    "limits": limits.check,
    "listener": listener.check,
    "ports": ports.check,
    "jit": compiled.check,
    "repository": models.check,
    "redis": redis.check,
    "backends": backends.check,
}
"""By the names that `--only` takes, in the order in which they are told."""


async def examine(settings: Settings, names: Sequence[str], seconds: float) -> list[tuple[str, Finding]]:
    """What the named checks have found, in order; a check that is not done within its seconds says so."""
    installation = Installation(settings)
    found = await asyncio.gather(*(_bounded(CHECKS[name](installation), seconds) for name in names))
    return [(name, finding) for name, findings in zip(names, found, strict=True) for finding in findings]


async def _bounded(check: Findings, seconds: float) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with asyncio.timeout(seconds):
            async for finding in check:
                found.append(finding)  # noqa: PERF401 (a comprehension would lose what came before the time was over)
    except TimeoutError:
        found.append(failed(f"not done within {seconds:g} s", "look at what it waits for, or give it more: --timeout"))
    except EpmError as error:
        found.append(failed(error.message, f"correct {error.field}" if error.field else "see the other checks"))
    except Exception as error:  # of whatever kind: the other checks tell what they can
        found.append(failed(f"the check itself failed: {type(error).__name__}", "tell the developers of this program"))
    return found
