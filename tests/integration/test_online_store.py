"""The online store on a real Redis: what is written is read, what was fetched is kept, what is erased is gone."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from serving.errors import InvalidInput, NotReady, PreconditionFailed, SettingsError
from serving.store.facts import MOST_FACTS, FactsEvent
from serving.store.fetched import CORRUPT, FOUND, NOT_FOUND, UNAVAILABLE
from serving.store.keys import HashKey
from serving.store.link import MARKER
from serving.store.redis_store import MOST_READ, OnlineStore
from tests.support.ports import free_ports
from tests.support.redis import RedisServer
from tests.support.stores import KEY, KIND, event, eventually, online, sequence_of, stored

pytestmark = pytest.mark.integration

SECRET = "canary-secret"  # noqa: S105


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    """Empty, and with fresh statistics."""
    with running.client() as client:
        client.flushall()
        client.config_resetstat()
    return running


def name_of(entity: str) -> bytes:
    return KEY.names(KEY.keys(KIND, [entity]))[0]


def calls(server: RedisServer, command: str) -> int:
    """How often Redis has executed a command since `server` was made."""
    with server.client() as client:
        return client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


def on(url: str, work: Callable[[OnlineStore], Awaitable[None]], **settings: float) -> None:
    """Run `work` with a store."""

    async def run() -> None:
        async with online(url, **settings) as store:
            await work(store)

    asyncio.run(run())


def on_two(url: str, work: Callable[[OnlineStore, OnlineStore], Awaitable[None]]) -> None:
    """Run `work` with two stores on one Redis."""

    async def run() -> None:
        async with online(url) as one, online(url) as two:
            await work(one, two)

    asyncio.run(run())


def test_what_was_written_is_fetched_in_the_order_of_the_ids(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        assert await store.put([event("ann"), event("bob", 7), event("李雷", 3)], None) == 3
        ids = ["李雷", "nobody", "ann", "bob", "ann", "nobody"]
        for _ in range(2):
            fetched = await store.fetch(KIND, ids, None)
            assert [sequence_of(fetched, row, entity) for row, entity in enumerate(ids)] == [3, None, 1, 7, 1, None]
            assert fetched.state.tolist() == [FOUND, NOT_FOUND, FOUND, FOUND, FOUND, NOT_FOUND]
            assert not fetched.stale.any()
        assert store.rows == {"replica": 4, "stale": 0, "redis": 4, "not_found": 4, "unavailable": 0, "corrupt": 0}
        assert (await store.fetch("team", ["ann"], None)).state.tolist() == [NOT_FOUND]

    on(server.url, work)


def test_a_row_after_rows_from_the_replica_is_right(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([event(f"e{i}", i) for i in range(40)], None)
        await store.fetch(KIND, [f"e{i}" for i in range(0, 40, 3)], None)
        ids = [f"e{i}" for i in (5, 3, 4, 5, 6, 39, 3, 38)]
        fetched = await store.fetch(KIND, ids, None)
        assert [sequence_of(fetched, row, entity) for row, entity in enumerate(ids)] == [5, 3, 4, 5, 6, 39, 3, 38]

    on(server.url, work)


@pytest.mark.parametrize("rows", [1, 64, 4096])
def test_a_cold_batch_of_any_size_is_one_round_trip(server: RedisServer, rows: int) -> None:
    async def work(store: OnlineStore) -> None:
        ids = [f"e{i}" for i in range(rows)]
        await store.put([event(entity) for entity in ids], None)
        written = calls(server, "mget")
        asked = sum(store.link.round_trips.values())
        fetched = await store.fetch(KIND, ids, None)
        assert all(sequence_of(fetched, row, entity) == 1 for row, entity in enumerate(ids))
        assert sum(store.link.round_trips.values()) == asked + 1
        commands = calls(server, "mget")
        assert (commands - written, calls(server, "get") <= 20) == (-(-rows // MOST_READ), True)
        await store.fetch(KIND, ids, None)
        assert calls(server, "mget") == commands

    on(server.url, work, replica_bytes=1 << 24, seconds=5)


def test_events_in_any_order_and_twice(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        assert await store.put([event("ann", 5), event("ann", 3), event("ann", 5)], None) == 1
        assert await store.put([event("ann", 4), event("ann", 5)], None) == 0
        assert await store.put([event("ann", 6), event("ann", 7), event("bob", 1)], None) == 3
        facts = await store.get(KIND, "ann", None)
        assert facts.facts["sequence"][0] == 7
        assert await store.get(KIND, "nobody", None) is None

    on(server.url, work)


def test_a_write_is_read_by_the_same_store_at_once_and_by_the_other_soon(server: RedisServer) -> None:
    async def work(one: OnlineStore, two: OnlineStore) -> None:
        for sequence in range(1, 50):
            await one.put([event("ann", sequence)], None)
            assert sequence_of(await one.fetch(KIND, ["ann"], None), 0, "ann") == sequence
            begin = time.monotonic()
            while sequence_of(await two.fetch(KIND, ["ann"], None), 0, "ann") != sequence:
                assert time.monotonic() - begin < 1

    on_two(server.url, work)


def test_two_stores_that_write_to_the_same_entities_lose_nothing(server: RedisServer) -> None:
    async def work(one: OnlineStore, two: OnlineStore) -> None:
        entities = [f"e{i}" for i in range(5)]

        async def feed(store: OnlineStore, who: str) -> None:
            for turn in range(40):
                await store.put([event(entity, turn, who, **{f"{who}{turn}": 1.0}) for entity in entities], None)

        await asyncio.gather(feed(one, "a"), feed(one, "b"), feed(two, "c"))
        for entity in entities:
            facts = await two.get(KIND, entity, None)
            assert {name for name in facts.facts if name[0] in "abc"} == {f"{w}{t}" for w in "abc" for t in range(40)}

    on_two(server.url, work)


def test_erased_means_erased_everywhere(server: RedisServer) -> None:
    async def work(one: OnlineStore, two: OnlineStore) -> None:
        await one.put([event("ann", note="canary text"), event("bob", note="other text")], None)
        for store in (one, two):
            fetched = await store.fetch(KIND, ["ann", "bob"], None)
            assert fetched.state.tolist() == [FOUND, FOUND]
            assert b"canary text" in store.replica._ring.tobytes()
        assert await one.delete(KIND, "ann", None)
        assert b"canary text" not in one.replica._ring.tobytes()
        await eventually(lambda: two.replica.entries == 1, 1)
        for store in (one, two):
            fetched = await store.fetch(KIND, ["ann", "bob"], None)
            assert fetched.state.tolist() == [NOT_FOUND, FOUND]
            assert b"canary text" not in store.replica._ring.tobytes()
            assert name_of("ann")[10:] not in store.replica._slots.tobytes().hex().encode()
        with server.client() as client:
            assert set(client.scan_iter()) == {MARKER, name_of("bob")}
            assert b"canary text" not in b"".join(client.get(key) for key in client.scan_iter())
        assert not await one.delete(KIND, "ann", None)

    on_two(server.url, work)


def test_an_erasure_that_overtakes_a_fetch_leaves_nothing_in_the_replica(server: RedisServer) -> None:
    """Redis has answered, and somebody erases before the answer is here: it is given to the caller, and not kept."""

    async def work(store: OnlineStore) -> None:
        await store.put([event("ann")], None)
        held = bytearray()
        connection = store.link._connection
        arrive, connection.data_received = connection.data_received, held.extend
        fetching = asyncio.create_task(store.fetch(KIND, ["ann"], None))
        await eventually(lambda: b"whose" in held)
        with server.client() as client:
            client.delete(name_of("ann"))
        await eventually(lambda: b"invalidate" in held)
        connection.data_received = arrive
        arrive(bytes(held))
        assert store.replica.entries == 0
        assert sequence_of(await fetching, 0, "ann") == 1
        assert store.replica.entries == 0
        assert (await store.fetch(KIND, ["ann"], None)).state.tolist() == [NOT_FOUND]

    on(server.url, work, seconds=5)


def test_an_erasure_between_reading_and_writing_does_not_bring_old_facts_back(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([event("ann", 1, old=1.0)], None)
        merged = store._merged

        async def erased_meanwhile(*given: object) -> object:
            with server.client() as client:
                client.delete(name_of("ann"))
            monkeypatch.setattr(store, "_merged", merged)
            return await merged(*given)

        monkeypatch.setattr(store, "_merged", erased_meanwhile)
        assert await store.put([event("ann", 2, new=1.0)], None) == 1
        assert set((await store.get(KIND, "ann", None)).facts) == {"whose", "sequence", "new"}

    on(server.url, work)


def test_flushing_redis_empties_the_replica_and_is_counted_once(server: RedisServer) -> None:
    async def work(one: OnlineStore, two: OnlineStore) -> None:
        await one.put([event("ann")], None)
        for store in (one, two):
            await store.fetch(KIND, ["ann"], None)
        with server.client() as client:
            client.flushall()
        for store in (one, two):
            await eventually(lambda store=store: store.replica.entries == 0 and store.link.resets == 1, 2)
            assert (await store.fetch(KIND, ["ann"], None)).state.tolist() == [NOT_FOUND]
        await asyncio.sleep(1.2)
        assert (one.link.resets, two.link.resets, one.link.reconnects) == (1, 1, 0)

    on_two(server.url, work)


def test_a_corrupt_record_is_told_apart_not_kept_and_mended_by_the_next_write(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([event("ann"), event("bob")], None)
        with server.client() as client:
            for broken in (b"", b"x", b"\x01" * 40, client.get(name_of("ann"))[:-1]):
                client.set(name_of("ann"), broken)
                fetched = await store.fetch(KIND, ["ann", "bob", "ann"], None)
                assert fetched.state.tolist() == [CORRUPT, FOUND, CORRUPT]
                assert sequence_of(fetched, 1, "bob") == 1
                with pytest.raises(PreconditionFailed, match="damaged"):
                    await store.get(KIND, "ann", None)
        assert store.replica.entries == 1
        assert store.rows["corrupt"] == 8
        assert await store.put([event("ann", 9)], None) == 1
        assert sequence_of(await store.fetch(KIND, ["ann"], None), 0, "ann") == 9

    on(server.url, work)


def test_the_replica_stays_in_its_bounds(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        ids = [f"e{i}" for i in range(6000)]
        for at in range(0, len(ids), 1000):
            await store.put([event(entity) for entity in ids[at : at + 1000]], None)
            await store.fetch(KIND, ids[at : at + 1000], None)
        replica = store.replica
        assert replica.evictions > 1000
        assert replica.bytes_used <= replica.bytes_at_most <= 1 << 20
        fetched = await store.fetch(KIND, ids, None)
        assert all(sequence_of(fetched, row, entity) == 1 for row, entity in enumerate(ids))

    on(server.url, work, replica_bytes=1 << 20, seconds=5)


def test_an_event_beyond_the_limits_is_refused_and_the_others_can_be_written(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([event("ann")], None)
        many = event("ann", 2, **{f"f{i}": 1.0 for i in range(MOST_FACTS - 1)})
        with pytest.raises(InvalidInput, match="facts"):
            await store.put([many], None)
        assert await store.put([event("ann", 3)], None) == 1

    on(server.url, work)


def test_a_deadline_that_has_passed_or_is_near_is_kept(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([event("ann"), event("bob")], None)
        await store.fetch(KIND, ["ann"], None)
        fetched = await store.fetch(KIND, ["ann", "bob"], time.monotonic() - 1)
        assert fetched.state.tolist() == [FOUND, UNAVAILABLE]
        server.pause()
        begin = time.monotonic()
        fetched = await store.fetch(KIND, ["ann", "bob"], begin + 0.05)
        assert 0.04 < time.monotonic() - begin < 2, "not for ever; a timeout would have taken the link down, too"
        server.resume()
        assert fetched.state.tolist() == [FOUND, UNAVAILABLE]
        assert store.link.up
        await eventually(lambda: store.replica.entries == 2)  # it came after all, and was kept
        with pytest.raises(NotReady):
            await store.put([event("ann", 2)], time.monotonic() - 1)

    on(server.url, work, seconds=2)


def test_a_cancelled_caller_disturbs_nobody(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([event(f"e{i}", i) for i in range(30)], None)
        tasks = [asyncio.create_task(store.fetch(KIND, [f"e{i}"], None)) for i in range(30)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        for i, outcome in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
            if i % 3 == 0:
                assert isinstance(outcome, asyncio.CancelledError)
            else:
                assert sequence_of(outcome, 0, f"e{i}") == i

    on(server.url, work)


def test_password_database_and_unix_socket(tmp_path: Path) -> None:
    async def work(store: OnlineStore) -> None:
        assert store.link.up
        await store.put([event("ann", 4)], None)
        assert sequence_of(await store.fetch(KIND, ["ann"], None), 0, "ann") == 4

    path = tmp_path / "redis.socket"
    with RedisServer(requirepass=SECRET, unixsocket=str(path)) as server:
        on(f"redis://:{SECRET}@127.0.0.1:{server.port}/3", work)
        on(f"unix://default:{SECRET}@{path}?db=4", work)
        with server.client() as client:
            assert sorted(client.info("keyspace")) == ["db3", "db4"]


@pytest.mark.parametrize(
    ("user", "said"),
    [("", "it wants a password"), ("someone:wrong-canary@", "wrong user or password"), ("reader:r@", "may not do")],
)
def test_who_may_not_is_told_without_the_password(user: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(store: OnlineStore) -> None:
        assert not store.link.up
        assert (await store.fetch(KIND, ["ann"], None)).state.tolist() == [UNAVAILABLE]
        with pytest.raises(NotReady):
            await store.put([event("ann")], None)
        await asyncio.sleep(0.3)

    with RedisServer(requirepass=SECRET) as server:
        with server.client() as client:
            client.acl_setuser("reader", enabled=True, passwords=["+r"], categories=["+@read"], keys=["*"])
        on(f"redis://{user}127.0.0.1:{server.port}", work)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert said in warnings[0]
    assert "canary" not in caplog.text


def test_tls(tmp_path: Path) -> None:
    """Over TLS with a certificate of our own; one that is not trusted is refused."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject]
    subprocess.run(make, check=True, capture_output=True)

    async def reads_and_writes(store: OnlineStore) -> None:
        assert store.link.up
        await store.put([event("ann", 4)], None)
        assert sequence_of(await store.fetch(KIND, ["ann"], None), 0, "ann") == 4

    async def is_away(store: OnlineStore) -> None:
        assert not store.link.up

    with RedisServer() as server:
        (port,) = free_ports(1)
        with server.client() as client:
            client.config_set("tls-cert-file", str(certificate), "tls-key-file", str(key))
            client.config_set("tls-auth-clients", "no", "tls-port", port)
        on(f"rediss://localhost:{port}?ssl_ca_certs={certificate}", reads_and_writes)
        on(f"rediss://localhost:{port}?ssl_cert_reqs=none", reads_and_writes)
        on(f"rediss://localhost:{port}", is_away)


@pytest.mark.parametrize(
    "url",
    [
        "http://canary:canary@host",
        "redis://canary:canary@host:canary",
        "redis://:canary@host?db=canary",
        "redis://:canary@host?colour=canary",
        "rediss://:canary@host?ssl_ca_certs=/canary",
        "rediss://:canary@host?ssl_cert_reqs=canary",
        "redis://:canary@host?ssl_cert_reqs=none",
        "redis://:canary@host/canary",
        "redis://:canary@[host",
        "redis://:can#ary-canary@host",
        "canary",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    async def make() -> None:
        OnlineStore(url, KEY, 1 << 20, 0.25)

    with pytest.raises(SettingsError, match="EPM_REDIS_URL") as refused:
        asyncio.run(make())
    assert "canary" not in str(refused.value)


def test_nothing_of_an_entity_is_anywhere_in_the_clear(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([event("canary-id", note="text")], None)
        fetched = await store.fetch(KIND, ["canary-id"], None)
        assert stored(fetched, 0).facts["note"][0] == "text"
        assert "canary" not in repr(fetched) + repr(store) + repr(store.link) + repr(store.replica)
        with server.client() as client:
            everything = b"".join(key + client.get(key) for key in client.scan_iter())
        for trace in (b"canary", KIND.encode()):
            assert trace not in everything
            assert trace not in store.replica._ring.tobytes()

    on(server.url, work)


def large(entity: str, sequence: int = 1) -> FactsEvent:
    """Facts that make a record of nearly the largest size."""
    return event(entity, sequence, **{f"fact{number:03}": "x" * 250 for number in range(240)})


COMPILES_NOTHING = """
import asyncio, sys
from serving import jit
from tests.support.stores import KIND, event, online, stored

async def work():
    async with online(sys.argv[1]) as store:
        warmed = jit.counts.compiled + jit.counts.loaded
        await store.put([event("ann"), event("bob")], None)
        for _ in range(2):
            stored(await store.fetch(KIND, ["ann", "nobody", "ann"], None), 0)
        await store.put([event("ann", 2)], None)
        await store.fetch(KIND, ["ann"], None)
        store.link._connection.lose("a test")
        await store.fetch(KIND, ["ann"], None)
        await asyncio.sleep(0.3)
        assert store.link.reconnects == 1
        await store.get(KIND, "bob", None)
        await store.delete(KIND, "ann", None)
        print(jit.counts.compiled + jit.counts.loaded - warmed)

asyncio.run(work())
"""


def test_after_warming_a_store_compiles_nothing(server: RedisServer) -> None:
    command = [sys.executable, "-c", COMPILES_NOTHING, server.url]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_many_events_of_one_large_entity_let_other_calls_have_their_turn(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([large("ann")], None)
        task = asyncio.create_task(store.put([event("ann", sequence) for sequence in range(2, 1002)], None))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert await task == 1000
        assert turns > 20

    on(server.url, work, seconds=10)


def test_a_batch_of_large_records_does_not_look_like_silence(server: RedisServer) -> None:
    """Redis needs longer to answer all of it than it may be silent, and answers piece by piece."""

    async def work(store: OnlineStore) -> None:
        ids = [f"e{i}" for i in range(3000)]
        with server.client() as client:
            await store.put([large("like")], None)
            record = client.get(name_of("like"))
            client.mset(dict.fromkeys(KEY.names(KEY.keys(KIND, ids)), record))
        fetched = await store.fetch(KIND, ids, None)
        assert set(fetched.state.tolist()) <= {FOUND, UNAVAILABLE}
        assert (store.link.up, store.link.epoch) == (True, 1)

    on(server.url, work, seconds=0.1, replica_bytes=1 << 20)


def test_answers_that_lay_unread_while_the_event_loop_was_busy_are_not_late(server: RedisServer) -> None:
    async def work(store: OnlineStore) -> None:
        await store.put([event("ann"), event("bob")], None)
        first = asyncio.create_task(store.fetch(KIND, ["ann"], None))
        await asyncio.sleep(0)
        time.sleep(0.6)  # noqa: ASYNC251
        second = await store.fetch(KIND, ["bob"], None)
        assert sequence_of(second, 0, "bob") == sequence_of(await first, 0, "ann") == 1
        assert store.link.epoch == 1

    on(server.url, work)


def test_a_redis_of_gateways_with_another_key_is_not_used(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with online(server.url) as one, online(server.url, key=HashKey(bytes(16))) as other:
            await one.put([event("ann")], None)
            with pytest.raises(NotReady):
                await other.delete(KIND, "ann", None)
            await asyncio.sleep(0.5)
            assert (one.link.up, other.link.up) == (True, False)
            with server.client() as client:
                client.delete(MARKER, name_of("ann"))
                await eventually(lambda: one.link.resets == 1 or other.link.up, 3)
                client.set(MARKER, KEY.fingerprint() + b":another")
            await eventually(lambda: not other.link.up, 3)

    asyncio.run(run())
    said = [record.getMessage() for record in caplog.records if "another EPM_HASH_KEY_FILE" in record.getMessage()]
    assert 1 <= len(said) <= 3
    assert KEY.fingerprint().decode() not in caplog.text


@pytest.mark.parametrize(("policy", "warnings"), [("allkeys-lru", 1), ("noeviction", 0)])
def test_a_redis_that_evicts_is_warned_of_once(policy: str, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    async def work(store: OnlineStore) -> None:
        with server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        await eventually(lambda: store.link.reconnects == 1)

    with RedisServer(**{"maxmemory": "64mb", "maxmemory-policy": policy}) as server:
        on(server.url, work)
    assert [record.levelname for record in caplog.records if "evict" in record.getMessage()] == ["WARNING"] * warnings
