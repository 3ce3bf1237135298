"""Redis killed, paused, emptied, full, or no Redis: no wrong answer, no long wait, and all is well afterwards."""

import asyncio
import logging
import random
import socket
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest

from serving.errors import NotReady
from serving.store.fetched import FOUND, NOT_FOUND, UNAVAILABLE
from serving.store.redis_store import OnlineStore
from tests.support.redis import RedisServer
from tests.support.stores import KEY, KIND, TIMEOUT, event, eventually, online, sequence_of

pytestmark = [pytest.mark.faults, pytest.mark.alone]

SLACK = 2.0
"""Seconds that a call may take beyond the timeout, on a busy machine."""


async def timed(call: Awaitable[object]) -> object:
    """The outcome of a call, which must come in time."""
    begin = time.monotonic()
    try:
        return await call
    finally:
        assert time.monotonic() - begin < TIMEOUT + SLACK


def rewrite(server: RedisServer, entity: str, like: str) -> None:
    """Give an entity the record of another one, as a writer elsewhere would."""
    with server.client() as client:
        client.set(KEY.names(KEY.keys(KIND, [entity]))[0], client.get(KEY.names(KEY.keys(KIND, [like]))[0]))


def cut(server: RedisServer) -> None:
    """End the connections of all stores."""
    with server.client() as client:
        for connection in client.client_list():
            if connection["name"] == "epm":
                client.client_kill_filter(_id=connection["id"])


def test_killed_under_load_and_back_empty(caplog: pytest.LogCaptureFixture) -> None:
    """Some entities are written all the time, the others only before: those are answered stale, then not found."""
    written, unwritten = [f"w{i}" for i in range(30)], [f"u{i}" for i in range(30)]
    cold = [f"c{i}" for i in range(30)]
    attempted: dict[str, int] = dict.fromkeys(written + unwritten + cold, 1)
    acknowledged: dict[str, int] = dict.fromkeys(attempted, 1)
    states: dict[str, set[tuple[int, bool]]] = {}
    phase = "before"

    async def write(store: OnlineStore, share: list[str]) -> None:
        while phase != "over":
            entities = random.sample(share, 5)
            for entity in entities:
                attempted[entity] += 1
            sequences = {entity: attempted[entity] for entity in entities}
            try:
                await timed(store.put([event(entity, sequence) for entity, sequence in sequences.items()], None))
            except NotReady:
                await asyncio.sleep(0.01)
            else:
                acknowledged.update(sequences)
            await asyncio.sleep(0)

    async def read(store: OnlineStore) -> None:
        while phase != "over":
            ids = random.choices(written + unwritten, k=random.randint(1, 20))
            least, during = dict(acknowledged), phase
            fetched = await timed(store.fetch(KIND, ids, None))
            for row, entity in enumerate(ids):
                sequence = sequence_of(fetched, row, entity)
                if sequence is not None:
                    assert sequence <= attempted[entity]
                    assert sequence >= least[entity] or fetched.stale[row]
                if during == phase:
                    states.setdefault(phase, set()).add((int(fetched.state[row]), bool(fetched.stale[row])))
            await asyncio.sleep(0.001)

    async def run(server: RedisServer) -> None:
        nonlocal phase
        async with online(server.url) as store:
            await store.put([event(entity) for entity in attempted], None)
            await store.fetch(KIND, unwritten, None)
            writers = [write(store, written[i::3]) for i in range(3)]
            load = [asyncio.create_task(work) for work in [*writers, *(read(store) for _ in range(4))]]
            await asyncio.sleep(0.5)
            phase = "dying"
            server.kill()
            await eventually(lambda: not store.link.up, 1)
            phase = "away"
            await asyncio.sleep(0.5)
            fetched = await timed(store.fetch(KIND, unwritten + cold, None))
            assert [sequence_of(fetched, row, entity) for row, entity in enumerate(unwritten)] == [1] * 30
            assert fetched.stale.tolist() == [True] * 30 + [False] * 30
            assert fetched.state.tolist() == [FOUND] * 30 + [UNAVAILABLE] * 30
            for call in (store.get(KIND, "u1", None), store.delete(KIND, "c1", None), store.put([event("c1")], None)):
                with pytest.raises(NotReady):
                    await timed(call)
            assert store.link.age_seconds > 0.5
            phase = "recovering"
            server.start()
            await eventually(lambda: store.link.up, 3)
            phase = "back"
            assert (store.link.resets, store.link.reconnects) == (1, 1)
            await asyncio.sleep(0.5)
            fetched = await timed(store.fetch(KIND, unwritten + cold, None))
            assert fetched.state.tolist() == [NOT_FOUND] * 60
            phase = "over"
            await asyncio.gather(*load)
            fetched = await store.fetch(KIND, written, None)
            found = [sequence_of(fetched, row, entity) for row, entity in enumerate(written)]
            assert found == [acknowledged[entity] for entity in written]
            assert store.replica.entries == 30
            assert store.link.age_seconds < 1

    with RedisServer() as server, caplog.at_level(logging.INFO, "epm.store"):
        asyncio.run(run(server))
    assert states["before"] == {(FOUND, False)}
    assert {state for state, stale in states["away"] if not stale} <= {UNAVAILABLE}
    assert (FOUND, True) in states["away"]
    assert {stale for _, stale in states["back"]} == {False}
    assert {state for state, _ in states["back"]} == {FOUND, NOT_FOUND}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) <= 8, said
    assert [text for text in said if "u1" in text or "w1" in text] == []


def test_paused_it_is_noticed_and_when_it_goes_on_everything_is_looked_at_again() -> None:
    async def run(server: RedisServer) -> None:
        async with online(server.url) as store:
            await store.put([event("ann"), event("bob"), event("cy")], None)
            await store.fetch(KIND, ["ann", "bob"], None)
            server.pause()
            calls = [
                store.fetch(KIND, ["ann", "cy"], None),
                store.put([event("cy", 2)], None),
                store.get(KIND, "cy", None),
            ]
            fetched, put, got = await asyncio.gather(*(timed(call) for call in calls), return_exceptions=True)
            assert fetched.state.tolist() == [FOUND, UNAVAILABLE]
            assert fetched.stale.tolist() == [True, False]
            assert isinstance(put, NotReady)
            assert isinstance(got, NotReady)
            assert not store.link.up
            await asyncio.sleep(2.5)
            trips = sum(store.link.round_trips.values())
            fetched = await store.fetch(KIND, ["ann", "cy"], None)
            assert sum(store.link.round_trips.values()) == trips, "nobody waits for a Redis that is away"
            assert fetched.state.tolist() == [FOUND, UNAVAILABLE]
            server.resume()
            await eventually(lambda: store.link.up, 10)
            await eventually(lambda: len(store.replica.unverified(store.link.epoch, 0)[0]) == 0, 2)
            asked = store.rows["redis"]
            fetched = await store.fetch(KIND, ["ann", "bob", "cy"], None)
            assert [sequence_of(fetched, row, entity) for row, entity in enumerate(["ann", "bob"])] == [1, 1]
            assert sequence_of(fetched, 2, "cy") in (1, 2)  # what was on its way may have arrived
            assert store.rows["redis"] == asked + 1
            assert not fetched.stale.any()
            assert (store.link.resets, store.link.reconnects) == (0, 1)

    with RedisServer() as server:
        asyncio.run(run(server))


def test_paused_while_nobody_asks_it_is_noticed_by_the_ping() -> None:
    async def run(server: RedisServer) -> None:
        async with online(server.url) as store:
            server.pause()
            await eventually(lambda: not store.link.up, 0.5 + TIMEOUT + SLACK)
            server.resume()
            await eventually(lambda: store.link.up, 3)

    with RedisServer() as server:
        asyncio.run(run(server))


def test_restarted_with_its_data_records_are_right_again_without_being_sent(tmp_path: Path) -> None:
    async def run(server: RedisServer) -> None:
        async with online(server.url) as store:
            ids = [f"e{i}" for i in range(700)]
            await store.put([event(entity) for entity in ids], None)
            await store.fetch(KIND, ids, None)
            server.kill()
            await eventually(lambda: not store.link.up, 1)
            server.start()
            await eventually(lambda: store.link.up, 3)
            await eventually(lambda: len(store.replica.unverified(store.link.epoch, 0)[0]) == 0, 2)
            before = dict(store.rows)
            fetched = await store.fetch(KIND, ids, None)
            assert all(sequence_of(fetched, row, entity) == 1 for row, entity in enumerate(ids))
            assert not fetched.stale.any()
            assert store.rows == {**before, "replica": before["replica"] + 700}
            assert (store.link.resets, store.link.reconnects) == (0, 1)
            assert await store.put([event("e5", 2)], None) == 1

    with RedisServer(tmp_path) as server:
        asyncio.run(run(server))


def test_what_was_changed_or_erased_unheard_is_forgotten_when_the_link_is_back() -> None:
    async def run(server: RedisServer) -> None:
        async with online(server.url, seconds=1) as store:
            await store.put([event("ann"), event("ann-new", 2), event("bob"), event("cy", note="canary")], None)
            await store.fetch(KIND, ["ann", "bob", "cy"], None)
            assert b"canary" in store.replica._ring.tobytes()
            cut(server)
            rewrite(server, "ann", like="ann-new")
            with server.client() as client:
                client.delete(KEY.names(KEY.keys(KIND, ["cy"]))[0])
            await eventually(lambda: store.link.reconnects == 1)
            fetched = await store.fetch(KIND, ["ann"], None)
            assert fetched.state.tolist() == [FOUND]
            assert not fetched.stale.any()
            await eventually(lambda: store.replica.entries == 2, 1)
            assert b"canary" not in store.replica._ring.tobytes()
            assert (await store.fetch(KIND, ["cy"], None)).state.tolist() == [NOT_FOUND]
            fetched = await store.fetch(KIND, ["ann-new", "bob"], None)
            assert sequence_of(fetched, 0, "ann-new") == 2
            assert sequence_of(fetched, 1, "bob") == 1
            assert store.link.resets == 0

    with RedisServer() as server:
        asyncio.run(run(server))


def test_one_that_was_away_at_the_start_is_used_as_soon_as_it_is_there() -> None:
    async def run() -> None:
        server = RedisServer()
        begin = time.monotonic()
        async with online(server.url) as store:
            assert time.monotonic() - begin < 2
            assert (await timed(store.fetch(KIND, ["ann"], None))).state.tolist() == [UNAVAILABLE]
            with pytest.raises(NotReady):
                await store.put([event("ann")], None)
            with server:
                await eventually(lambda: store.link.up, 3)
                assert await store.put([event("ann")], None) == 1
                assert sequence_of(await store.fetch(KIND, ["ann"], None), 0, "ann") == 1
            assert (store.link.resets, store.link.reconnects) == (0, 0)

    asyncio.run(run())


def test_one_that_is_full_refuses_writes_and_goes_on_answering() -> None:
    async def run(server: RedisServer) -> None:
        async with online(server.url) as store:
            await store.put([event("ann"), event("bob")], None)
            await store.fetch(KIND, ["ann"], None)
            with server.client() as client:
                client.config_set("maxmemory", 1)
                with pytest.raises(NotReady, match="OOM"):
                    await store.put([event("ann", 2)], None)
                await asyncio.sleep(0.7)
                fetched = await store.fetch(KIND, ["ann", "bob"], None)
                assert [sequence_of(fetched, 0, "ann"), sequence_of(fetched, 1, "bob")] == [1, 1]
                assert store.link.up
                assert store.link.epoch == 1
                assert await store.delete(KIND, "ann", None)
                client.config_set("maxmemory", 0)
            assert await store.put([event("ann", 3)], None) == 1

    with RedisServer() as server:
        asyncio.run(run(server))


def test_one_that_fails_again_and_again_under_load_is_never_waited_for_long() -> None:
    async def run(server: RedisServer) -> None:
        async with online(server.url) as store:
            ids = [f"e{i}" for i in range(50)]
            await store.put([event(entity) for entity in ids], None)
            over = False

            async def read() -> None:
                while not over:
                    asked = random.sample(ids, 10)
                    fetched = await timed(store.fetch(KIND, asked, None))
                    assert {sequence_of(fetched, row, entity) for row, entity in enumerate(asked)} <= {1, None}
                    await asyncio.sleep(0)

            load = [asyncio.create_task(read()) for _ in range(5)]
            for _ in range(6):
                cut(server)
                await asyncio.sleep(0.05)
                server.pause()
                await asyncio.sleep(random.uniform(0.05, 0.4))
                server.resume()
                await asyncio.sleep(0.1)
            over = True
            await asyncio.gather(*load)
            await eventually(lambda: store.link.up, 3)
            fetched = await store.fetch(KIND, ids, None)
            assert all(sequence_of(fetched, row, entity) == 1 for row, entity in enumerate(ids))
            assert not fetched.stale.any()

    with RedisServer() as server:
        asyncio.run(run(server))


@pytest.mark.parametrize("call", ["fetch", "put"])
def test_one_that_becomes_a_replica_is_left_at_once_and_used_when_it_is_the_master_again(
    call: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(server: RedisServer, nobody: RedisServer) -> None:
        async with online(server.url) as store:
            await store.put([event("ann"), event("bob")], None)
            await store.fetch(KIND, ["ann"], None)
            with server.client() as client:
                client.config_set("replica-serve-stale-data", "yes" if call == "put" else "no")
                client.replicaof("127.0.0.1", nobody.port)
                if call == "put":
                    with pytest.raises(NotReady, match="READONLY"):
                        await store.put([event("ann", 2)], None)
                else:
                    fetched = await store.fetch(KIND, ["ann", "bob"], None)
                    assert fetched.state.tolist() == [FOUND, UNAVAILABLE]
                    assert fetched.stale.tolist() == [True, False]
                assert not store.link.up
                await asyncio.sleep(0.5)
                assert not store.link.up
                client.replicaof("NO", "ONE")
            await eventually(lambda: store.link.up, 3)
            assert await store.put([event("ann", 3)], None) == 1
            assert store.link.resets == 0

    with RedisServer() as server:
        asyncio.run(run(server, RedisServer()))
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(said) <= 2
    assert all("replica" in text for text in said)


def test_what_redis_has_not_confirmed_for_too_long_is_not_answered_and_not_kept() -> None:
    async def run(server: RedisServer) -> None:
        async with online(server.url, most_stale=1) as store, online(server.url, most_stale=1) as idle:
            await store.put([event("ann", note="canary")], None)
            for one in (store, idle):
                await one.fetch(KIND, ["ann"], None)
            server.kill()
            await eventually(lambda: not store.link.up and not idle.link.up, 1)
            fetched = await store.fetch(KIND, ["ann"], None)
            assert (fetched.state.tolist(), fetched.stale.tolist()) == ([FOUND], [True])
            await asyncio.sleep(1.1)
            fetched = await store.fetch(KIND, ["ann"], None)
            assert (fetched.state.tolist(), fetched.stale.tolist()) == ([UNAVAILABLE], [False])
            assert b"canary" not in store.replica._ring.tobytes()
            server.start()
            await eventually(lambda: idle.link.up, 3)
            assert idle.replica.entries == 0

    with RedisServer() as server:
        asyncio.run(run(server))


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"+OK\r\n+OK\r\n+OK\r\n", b"*1000000000\r\n"]
)
def test_what_is_no_redis_is_not_used(greeting: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)

        with socket.create_server(("127.0.0.1", 0)) as free:
            server = await asyncio.start_server(greet, sock=free)
            async with online(f"redis://127.0.0.1:{free.getsockname()[1]}") as store:
                assert (await timed(store.fetch(KIND, ["ann"], None))).state.tolist() == [UNAVAILABLE]
                await asyncio.sleep(0.6)
                assert not store.link.up
            server.close()

    asyncio.run(run())
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(warnings) <= 2
