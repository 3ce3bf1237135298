"""Both Redis: reached, let in, allowed to do what gateways do there, with room and the right policy.

Nothing is written: commands that write are queued in a transaction, where Redis checks whether this user may give them
and whether it takes writes at all, and the transaction is discarded.
"""

import asyncio
import time
from pathlib import Path

from serving.cache import redis_link
from serving.doctor.finding import Finding, Findings, failed, ok, warning
from serving.doctor.installation import Installation
from serving.errors import NotReady, SettingsError
from serving.hash_key import HashKey
from serving.redis.address import Address
from serving.redis.connection import Command, Connection, Refused
from serving.redis.link import reason_of
from serving.settings import Settings
from serving.store import link as store_link
from serving.store.keys import PREFIX as FACTS

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 5.0
FULL = 0.9
"""Share of maxmemory."""
_SCRIPT = "return redis.call('GETRANGE', KEYS[1], 8, 15)"
_NOBODY, _NO_ROW = FACTS + b"doctor", redis_link.PREFIX + b"-"
STORE: tuple[tuple[Command, ...], tuple[Command, ...]] = (
    (("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", FACTS),),
    (
        ("GET", store_link.MARKER),
        ("SET", store_link.MARKER, "", "NX"),
        ("MGET", _NOBODY),
        ("EVAL", _SCRIPT, 1, _NOBODY),
        ("GETRANGE", _NOBODY, 8, 15),
        ("SET", _NOBODY, ""),
        ("DEL", _NOBODY),
    ),
)
"""What gateways tell the online store: of the connection alone, and of data."""
CACHE: tuple[tuple[Command, ...], tuple[Command, ...]] = (
    (("PING",), ("SUBSCRIBE", redis_link.CHANNEL)),
    (
        ("MGET", _NO_ROW),
        ("SET", _NO_ROW, "", "PX", 1),
        ("UNLINK", _NO_ROW),
        ("PUBLISH", redis_link.CHANNEL, ""),
        ("SCAN", 0, "MATCH", redis_link.PREFIX + b"*"),
    ),
)
"""And the prediction cache."""
RIGHTS = {
    "EPM_REDIS_URL": f"~{FACTS.decode()}* ~epm:store +get +set +mget +eval +getrange +del +client|tracking",
    "EPM_CACHE_REDIS_URL": (
        f"~{redis_link.PREFIX.decode()}* &{redis_link.CHANNEL.decode()} "
        "+mget +set +unlink +publish +subscribe +scan +ping"
    ),
}
"""What the user of each needs, as ACL SETUSER takes it, besides +hello +select +client|setname; +info to be told more,
+multi +discard for this check."""


async def check(installation: Installation) -> Findings:
    """EPM_REDIS_URL and EPM_CACHE_REDIS_URL, as far as they are set."""
    settings = installation.settings
    given = {"EPM_REDIS_URL": settings.redis_url, "EPM_CACHE_REDIS_URL": settings.cache_redis_url}
    if not any(given.values()):
        yield ok("none is set up: no predictions by id, kept predictions in this process only")
    places = {}
    for setting, url in given.items():
        if not url:
            continue
        try:
            address = Address(url, setting)
        except SettingsError as error:
            yield failed(error.message, f"correct {setting}")
            continue
        places[setting] = address.where
        async for finding in _look(address, setting, settings):
            yield Finding(finding.level, f"{setting} {address.where}: {finding.found}", finding.advice)
    if len(places) == 2 and len(set(places.values())) == 1:
        found = f"EPM_REDIS_URL and EPM_CACHE_REDIS_URL are both at {places['EPM_REDIS_URL']}"
        yield warning(found, "give kept predictions a Redis of their own: one should evict, the other must not")


async def _look(address: Address, setting: str, settings: Settings) -> Findings:
    called = "the online store" if setting == "EPM_REDIS_URL" else "the prediction cache"
    connection = Connection(called, CONNECT_SECONDS, lambda message: None, lambda reason: None)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await address.open(connection)
            for command in address.greetings():
                await connection.call(command, ANSWER_SECONDS)
        yield await _server(connection, setting, settings)
        for finding in await _memory(connection, setting):
            yield finding
        yield await _rights(connection, setting)
        if setting == "EPM_REDIS_URL" and (other := await _key(connection, settings)):
            yield other
    except (NotReady, OSError, TimeoutError) as error:
        reason = reason_of(error)
        yield failed(reason, _advice(error, setting))
    finally:
        connection.lose("closed")


async def _server(connection: Connection, setting: str, settings: Settings) -> Finding:
    """How fast it answers, and which version it is."""
    timeout = settings.redis_timeout_seconds if setting == "EPM_REDIS_URL" else settings.cache_timeout_seconds
    name = "EPM_REDIS_TIMEOUT_SECONDS" if setting == "EPM_REDIS_URL" else "EPM_CACHE_TIMEOUT_SECONDS"
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        await connection.call(("CLIENT", "SETNAME", "epm"), ANSWER_SECONDS)  # everybody who said HELLO may
        took.append(time.perf_counter() - begin)
    version = (await _info(connection, "server")).get("redis_version", "of unknown version: it may not say INFO")
    found = f"Redis {version} answers within {1000 * min(took):.1f} ms"
    if 2 * min(took) > timeout:
        return warning(found, f"raise {name}, which is {timeout:g}, or bring it nearer")
    return ok(found)


async def _memory(connection: Connection, setting: str) -> list[Finding]:
    """maxmemory and what happens when it is reached; nothing where INFO is not allowed."""
    said = await _info(connection, "memory")
    if not said:
        return []
    most, used, policy = int(said["maxmemory"]), int(said["used_memory"]), said["maxmemory_policy"]
    found = f"maxmemory {most >> 20} MiB, {used >> 20} MiB used, {policy}" if most else "no maxmemory"
    if setting == "EPM_REDIS_URL" and most and policy != "noeviction":
        return [failed(found, "set maxmemory-policy noeviction: whose record is evicted is not found")]
    if setting == "EPM_CACHE_REDIS_URL" and most and policy == "noeviction":
        return [warning(found, "set maxmemory-policy allkeys-lru: a full cache keeps nothing new")]
    if not most:
        return [warning(found, "set maxmemory: it can take all the memory of its machine")]
    if setting == "EPM_REDIS_URL" and used > FULL * most:
        return [warning(found, "raise maxmemory: when it is reached no facts are taken")]
    return [ok(found)]


async def _rights(connection: Connection, setting: str) -> Finding:
    """Whether this user may give the commands that gateways give, and whether Redis takes writes."""
    at_once, queued = STORE if setting == "EPM_REDIS_URL" else CACHE
    refused: list[str] = []
    try:
        await connection.call(("MULTI",), ANSWER_SECONDS)
    except Refused as error:
        if error.code != "NOPERM":
            raise
        advice = f"allow +multi +discard to be told more; gateways need {RIGHTS[setting]}"
        return warning("what its user may do cannot be found out without writing", advice)
    for command in queued:
        try:
            await connection.call(command, ANSWER_SECONDS)
        except Refused as error:
            if error.code not in ("NOPERM", "OOM"):
                raise
            refused.append(f"{command[0]!s} ({'not allowed' if error.code == 'NOPERM' else 'it is full'})")
    await connection.call(("DISCARD",), ANSWER_SECONDS)
    for command in at_once:
        try:
            if command[0] == "SUBSCRIBE":
                connection.tell(command)  # an answer that nobody waits for is a refusal, and ends the connection
                await connection.call(("PING",), ANSWER_SECONDS)
            else:
                await connection.call(command, ANSWER_SECONDS)
        except Refused as error:
            refused.append(f"{command[0]!s} ({error.code})")
    if not refused:
        return ok("its user may do all that gateways do, and it takes writes")
    full = all("full" in one for one in refused)
    advice = "raise maxmemory" if full else f"give its user the rights {RIGHTS[setting]}"
    return failed(f"it refuses {', '.join(dict.fromkeys(refused))}", advice)


async def _key(connection: Connection, settings: Settings) -> Finding | None:
    """Whether its data belong to gateways with another key; None where that cannot be known."""
    from serving.jit import NotKept

    try:
        marker = await connection.call(("GET", store_link.MARKER), ANSWER_SECONDS)
    except Refused:  # `_rights` says so
        return None
    if marker is None:
        return ok("it holds no facts yet")
    try:
        ours = HashKey.load(Path(settings.hash_key_file)).fingerprint()
    except SettingsError:  # the check `files` says so
        return None
    except NotKept:
        return warning("its key was not compared: without compiled kernels there are no hashes", "run `epm warm` first")
    if marker.partition(b":")[0] == ours:
        return ok("its data belong to EPM_HASH_KEY_FILE")
    advice = "set EPM_HASH_KEY_FILE to the file of the gateways that wrote it, or EPM_REDIS_URL to another Redis or db"
    return failed("its data belong to gateways with another key", advice)


async def _info(connection: Connection, section: str) -> dict[str, str]:
    """What Redis says of itself; nothing where this user may not ask."""
    try:
        said = await connection.call(("INFO", section), ANSWER_SECONDS)
    except Refused:
        return {}
    text = said.decode() if isinstance(said, bytes) else str(said)
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _advice(error: Exception, setting: str) -> str:
    match error:
        case Refused(code="WRONGPASS" | "NOAUTH"):
            return f"correct user and password in {setting} (in the environment, not on the command line)"
        case Refused(code="NOPERM"):
            return f"give its user the rights {RIGHTS[setting]} +hello +select +client|setname"
        case Refused(code="READONLY" | "MASTERDOWN"):
            return f"have {setting} name the master"
        case Refused(code="NOPROTO"):
            return "use Redis 6 or later"
        case Refused(code="LOADING"):
            return "wait until it has loaded its data"
    return f"start it, open the way to it, or correct {setting}"
