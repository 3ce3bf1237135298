"""The prediction cache's Redis killed, paused, full, cut off, or none: right answers, no long wait, all well after."""

import asyncio
import itertools
import logging
import random
import socket
import time
from pathlib import Path

import pytest

from serving.cache.prediction_cache import PredictionCache
from serving.errors import NotReady
from tests.support.predictions import TIMEOUT, Model, check, gateways, known, rows_of_numbers, written
from tests.support.redis import RedisServer
from tests.support.stores import eventually

pytestmark = [pytest.mark.faults, pytest.mark.alone]

SLACK = 2.0
"""Seconds that a call may take beyond the timeout, on a busy machine."""


async def ask(cached: PredictionCache, model: Model, *numbers: int) -> None:
    """The right answer, in time."""
    begin = time.monotonic()
    check(await cached.infer(rows_of_numbers(*numbers), None, model.infer), *numbers)
    assert time.monotonic() - begin < TIMEOUT + SLACK


def cut(server: RedisServer) -> None:
    """End all connections of gateways."""
    with server.client() as client:
        for connection in client.client_list():
            if connection["name"] == "epm":
                client.client_kill_filter(_id=connection["id"])


@pytest.mark.parametrize("fault", ["killed", "paused", "cut"])
def test_under_load_answers_are_right_and_in_time_and_it_is_used_again_afterwards(fault: str) -> None:
    async def run(server: RedisServer) -> None:
        async with gateways(server.url, 2, entries=64) as caches:
            over, model, fresh = False, Model(), itertools.count(10_000)

            async def load(cached: PredictionCache) -> None:
                while not over:
                    await ask(cached, model, *random.choices(range(500), k=5), next(fresh))
                    await asyncio.sleep(0.001)

            work = [asyncio.create_task(load(cached)) for cached in caches for _ in range(3)]
            await asyncio.sleep(0.3)
            for _ in range(2):
                match fault:
                    case "killed":
                        server.kill()
                        await eventually(lambda: not any(cached._redis.link.up for cached in caches), 2)
                        await asyncio.sleep(0.2)
                        server.start()
                    case "paused":
                        server.pause()
                        await eventually(lambda: not any(cached._redis.there for cached in caches), 2)
                        await asyncio.sleep(random.uniform(0.1, 1.5))
                        server.resume()
                    case "cut":
                        cut(server)
                await eventually(lambda: all(cached._redis.there for cached in caches), 5)
                before = [cached._redis.rows["hit"] for cached in caches]
                later = lambda before=before: all(  # noqa: E731
                    cached._redis.rows["hit"] > hits for cached, hits in zip(caches, before, strict=True)
                )
                await eventually(later, 5)
            over = True
            await asyncio.gather(*work)
            assert all(cached._redis.rows["corrupt"] == 0 for cached in caches)

    with RedisServer() as server:
        asyncio.run(run(server))


def test_one_that_is_paused_costs_one_timeout_and_then_nothing() -> None:
    async def run(server: RedisServer) -> None:
        async with gateways(server.url, 1) as (cached,):
            model, redis = Model(), cached._redis
            await ask(cached, model, 1)
            await written(cached)
            server.pause()
            await ask(cached, model, 1, 2)
            assert not redis.there
            trips = sum(redis.link.round_trips.values())
            for number in range(100, 150):
                await ask(cached, model, number)
            assert sum(redis.link.round_trips.values()) == trips
            assert redis.rows["unwritten"] == 51
            server.resume()
            await eventually(lambda: redis.there, 10)

    with RedisServer() as server:
        asyncio.run(run(server))


def test_who_is_in_a_hurry_waits_no_longer_than_that_and_says_nothing_about_redis() -> None:
    async def run(server: RedisServer) -> None:
        async with gateways(server.url, 1, seconds=5.0) as (cached,):
            model, begin = Model(), time.monotonic()
            server.pause()
            check(await cached.infer(rows_of_numbers(1), begin + 0.005, model.infer), 1)
            assert time.monotonic() - begin < 0.005 + SLACK
            assert cached._redis.there
            server.resume()

    with RedisServer() as server:
        asyncio.run(run(server))


def test_a_short_pause_takes_nothing_from_the_table() -> None:
    async def run(server: RedisServer) -> None:
        async with gateways(server.url, 1) as (cached,):
            model = Model()
            await ask(cached, model, 1)
            server.pause()
            await ask(cached, model, 2)
            await asyncio.sleep(0.2)
            server.resume()
            await eventually(lambda: cached._redis.there, 3)
            await ask(cached, model, 1, 2)
            assert model.calls == [[1], [2]]
            assert cached._redis.link.reconnects == 0

    with RedisServer() as server:
        asyncio.run(run(server))


def test_one_that_is_full_is_read_and_takes_nothing() -> None:
    async def run(server: RedisServer) -> None:
        async with gateways(server.url, 2) as (one, other):
            model = Model()
            await ask(one, model, 1, 2)
            await written(one)
            with server.client() as client:
                client.config_set("maxmemory", 1)
                await ask(other, model, 1, 2, 3, 4)
                await written(other)
                assert other._redis.rows["refused"] == 2
                assert model.calls == [[1, 2], [3, 4]]
                await asyncio.sleep(0.7)
                assert other._redis.there
                await other.drop(rows_of_numbers(1))
                client.config_set("maxmemory", 0)
            await ask(other, model, 5)
            await written(other)
            assert other._redis.rows["written"] == 1

    with RedisServer(**{"maxmemory-policy": "noeviction"}) as server:
        asyncio.run(run(server))


def test_what_was_dropped_unheard_is_forgotten_when_the_link_is_back() -> None:
    async def run(server: RedisServer) -> None:
        async with gateways(server.url, 2) as (one, other):
            model = Model()
            for cached in (one, other):
                await ask(cached, model, 1)
            other._redis.link._connection.lose("a test")
            await one.drop(rows_of_numbers(1))
            assert known(other, rows_of_numbers(1)).hits.all()
            await eventually(lambda: other._redis.link.up, 3)
            assert other.table.entries == 0

    with RedisServer() as server:
        asyncio.run(run(server))


def test_while_it_is_away_the_table_goes_on_and_dropping_says_that_not_all_was_reached() -> None:
    async def run(server: RedisServer) -> None:
        async with gateways(server.url, 1) as (cached,):
            model = Model()
            await ask(cached, model, 1)
            server.kill()
            await eventually(lambda: not cached._redis.link.up, 2)
            await ask(cached, model, 1, 2)
            await asyncio.sleep(0.5)
            await ask(cached, model, 1, 2)
            assert model.calls == [[1], [2]]
            with pytest.raises(NotReady, match="the prediction cache is away"):
                await cached.drop(rows_of_numbers(1))
            with pytest.raises(NotReady):
                await cached._redis.flush()
            assert known(cached, rows_of_numbers(1, 2)).hits.tolist() == [False, True]

    with RedisServer() as server:
        asyncio.run(run(server))


def test_restarted_with_its_data_it_is_used_again(tmp_path: Path) -> None:
    async def run(server: RedisServer) -> None:
        async with gateways(server.url, 1) as (cached,):
            model = Model()
            await ask(cached, model, 1)
            await written(cached)
            server.kill()
            await eventually(lambda: not cached._redis.link.up, 2)
            server.start()
            await eventually(lambda: cached._redis.there, 3)
            assert cached.table.entries == 0
            await ask(cached, model, 1)
            assert model.calls == [[1]]

    with RedisServer(tmp_path) as server:
        asyncio.run(run(server))


def test_one_that_was_away_at_the_start_is_used_as_soon_as_it_is_there() -> None:
    async def run() -> None:
        server = RedisServer()
        async with gateways(server.url, 1) as (cached,):
            model = Model()
            await ask(cached, model, 1)
            with server:
                await eventually(lambda: cached._redis.there, 3)
                await ask(cached, model, 1)
                await written(cached)
                assert cached._redis.rows["written"] == 1

    asyncio.run(run())


def test_a_read_only_replica_is_not_used_and_takes_nothing_from_the_table(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "epm.cache")

    async def run(replica: RedisServer) -> None:
        async with gateways(replica.url, 1) as (cached,):
            model, begin = Model(), time.monotonic()
            while time.monotonic() - begin < 2.5:
                await ask(cached, model, 1, 2)
                assert not cached._redis.link.up
                await asyncio.sleep(0.01)
            assert model.calls == [[1, 2]]
            with replica.client() as client:
                client.replicaof("NO", "ONE")
            await eventually(lambda: cached._redis.there, 3)
            await ask(cached, model, 3)
            await written(cached)
            assert cached._redis.rows["written"] == 1

    with RedisServer() as master, RedisServer(replicaof=f"127.0.0.1 {master.port}") as replica:
        asyncio.run(run(replica))
    assert [record.getMessage() for record in caplog.records] == [
        "the prediction cache cannot be used: it is a read-only replica",
        "the prediction cache is connected",
    ]


def test_one_that_becomes_a_replica_is_left_and_the_table_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def run(server: RedisServer, nobody: int) -> None:
        async with gateways(server.url, 1) as (cached,):
            model = Model()
            await ask(cached, model, 1)
            with server.client() as client:
                client.replicaof("127.0.0.1", nobody)
                await eventually(lambda: not cached._redis.link.up, 3)
                for _ in range(150):
                    assert not cached._redis.link.up
                    await asyncio.sleep(0.01)
                await ask(cached, model, 1, 2)
                assert model.calls == [[1], [2]]
                client.replicaof("NO", "ONE")
            await eventually(lambda: cached._redis.there, 3)

    with RedisServer() as server:
        asyncio.run(run(server, RedisServer().port))
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["the prediction cache is away: it is a read-only replica"]


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"+OK\r\n+OK\r\n+OK\r\n"])
def test_what_is_no_redis_is_not_used(greeting: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)

        with socket.create_server(("127.0.0.1", 0)) as free:
            server = await asyncio.start_server(greet, sock=free)
            async with gateways(f"redis://127.0.0.1:{free.getsockname()[1]}", 1) as (cached,):
                model = Model()
                for _ in range(2):
                    await ask(cached, model, 1)
                assert model.calls == [[1]]
                await asyncio.sleep(0.6)
                assert not cached._redis.link.up
            server.close()

    asyncio.run(run())
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(warnings) <= 2
