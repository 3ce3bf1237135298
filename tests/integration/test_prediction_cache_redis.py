"""Predictions that gateways share through a real Redis."""

import asyncio
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from serving.cache.policy import Policy, choice
from serving.cache.redis_cache import RedisCache
from serving.cache.redis_link import PREFIX
from serving.errors import NotReady, SettingsError
from serving.hash_key import HashKey
from tests.support.predictions import Model, cache, check, gateways, known, rows_of_numbers, shared, written
from tests.support.redis import RedisServer
from tests.support.stores import eventually

pytestmark = pytest.mark.integration

SLOW = 2.0
"""A timeout that no busy machine reaches."""


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    """Empty."""
    with running.client() as client:
        client.flushall()
    return running


def names(server: RedisServer) -> list[bytes]:
    with server.client() as client:
        return sorted(client.keys(PREFIX + b"*"))


def test_what_one_gateway_computed_another_one_finds_in_one_round_trip(server: RedisServer) -> None:
    async def work() -> None:
        async with gateways(server.url, seconds=SLOW, entries=65536) as (one, other):
            model, numbers = Model(), range(600)
            check(await one.infer(rows_of_numbers(*numbers), None, model.infer), *numbers)
            await written(one)
            trips = other._redis.link.round_trips["ok"]
            check(await other.infer(rows_of_numbers(*numbers, 1000), None, model.infer), *numbers, 1000)
            assert model.calls == [[*numbers], [1000]]
            assert other._redis.link.round_trips["ok"] == trips + 1
            assert other.rows["redis"] == 600
            await written(other)
            check(await other.infer(rows_of_numbers(*numbers), None, model.infer), *numbers)
            assert sum(other._redis.rows.values()) == 602  # 601 asked for, one written

    asyncio.run(work())


def test_redis_has_no_part_in_it_where_the_choice_says_so(server: RedisServer) -> None:
    async def work() -> None:
        async with gateways(server.url, 1, seconds=SLOW, choice=choice(Policy.LOCAL, redis=True)) as (cached,):
            model = Model()
            for _ in range(2):
                check(await cached.infer(rows_of_numbers(1), None, model.infer), 1)
            assert (model.calls, names(server)) == ([[1]], [])
            assert sum(cached._redis.rows.values()) == 0

    asyncio.run(work())


def test_another_artifact_or_another_secret_finds_nothing(server: RedisServer) -> None:
    async def work() -> None:
        async with shared(server.url, seconds=SLOW) as redis, shared(server.url, HashKey(bytes(16)), SLOW) as stranger:
            model, one = Model(), cache("first", redis)
            await one.infer(rows_of_numbers(1), None, model.infer)
            await written(one)
            await cache("second", redis).infer(rows_of_numbers(1), None, model.infer)
            with server.client() as client:
                client.copy(names(server)[0], PREFIX + b"0" * 32)
            keys = np.zeros((1, 2), np.uint64)
            assert not (await redis.get(keys, 12, None)).hits.any()
            assert not (await stranger.get(keys, 12, None)).hits.any()
            assert len(model.calls) == 2

    asyncio.run(work())


def test_lives_end_at_different_times_and_nowhere_later_than_in_redis(server: RedisServer) -> None:
    async def work() -> None:
        async with gateways(server.url, seconds=SLOW, ttl_seconds=1000.0, jitter=0.2, entries=65536) as (one, other):
            model, numbers = Model(), range(200)
            await one.infer(rows_of_numbers(*numbers), None, model.infer)
            await written(one)
            with server.client() as client:
                left = np.array([client.pttl(name) for name in names(server)]) / 1000
            assert len(left) == 200
            assert left.max() <= 1000
            assert left.min() > 790
            assert left.std() > 20
            await other.infer(rows_of_numbers(*numbers), None, model.infer)
            table, now = other.table, time.monotonic()
            lives = table._slots[:, 2] / 1000 - now
            lives = np.sort(lives[lives > -now + 1])
            assert np.abs(lives - np.sort(left)).max() < 5

    asyncio.run(work())


def test_what_a_gateway_takes_from_redis_lives_no_longer_than_its_own_time_to_live(server: RedisServer) -> None:
    async def work() -> None:
        async with shared(server.url, seconds=SLOW) as redis:
            one, model = cache(redis=redis, ttl_seconds=1000.0), Model()
            await one.infer(rows_of_numbers(1), None, model.infer)
            await written(one)
            other = cache(redis=redis, ttl_seconds=10.0)
            await other.infer(rows_of_numbers(1), None, model.infer)
            keys = known(other, rows_of_numbers(1)).keys
            assert other.table.find(keys, time.monotonic() + 9).hits.all()
            assert not other.table.find(keys, time.monotonic() + 10).hits.any()
            assert model.calls == [[1]]

    asyncio.run(work())


def _flip(value: bytes) -> bytes:
    return value[:3] + bytes([value[3] ^ 4]) + value[4:]


@pytest.mark.parametrize(
    "spoil",
    [
        _flip,
        lambda value: value[:-1] + bytes([value[-1] ^ 1]),
        lambda value: value[:-9] + bytes([value[-9] ^ 1]) + value[-8:],
        lambda value: value[:-1],
        lambda value: value + b"\0",
        lambda value: b"",
        lambda value: bytes(len(value)),
    ],
    ids=["a bit of the prediction", "of the checksum", "of the end", "shorter", "longer", "empty", "zeros"],
)
def test_a_value_that_is_not_right_is_no_value_and_is_deleted(
    server: RedisServer, spoil: Callable[[bytes], bytes]
) -> None:
    async def work() -> None:
        async with gateways(server.url, 3, seconds=SLOW) as (one, other, third):
            model = Model()
            await one.infer(rows_of_numbers(1, 2), None, model.infer)
            await written(one)
            with server.client() as client:
                spoiled = names(server)[0]
                client.set(spoiled, spoil(client.get(spoiled)))
            check(await other.infer(rows_of_numbers(1, 2), None, model.infer), 1, 2)
            await written(other)
            assert len(model.calls) == 2
            assert len(model.calls[1]) == 1
            assert (other._redis.rows["corrupt"], other._redis.rows["hit"]) == (1, 1)
            assert len(names(server)) == 2
            check(await third.infer(rows_of_numbers(1, 2), None, model.infer), 1, 2)
            assert len(model.calls) == 2

    asyncio.run(work())


def test_a_value_of_another_row_is_no_value(server: RedisServer) -> None:
    async def work() -> None:
        async with gateways(server.url, seconds=SLOW) as (one, other):
            model = Model()
            await one.infer(rows_of_numbers(1, 2), None, model.infer)
            await written(one)
            with server.client() as client:
                first, second = names(server)
                client.set(first, client.get(second))
            check(await other.infer(rows_of_numbers(1, 2), None, model.infer), 1, 2)
            assert other._redis.rows["corrupt"] == 1

    asyncio.run(work())


def test_what_one_gateway_drops_all_forget(server: RedisServer) -> None:
    async def work() -> None:
        async with gateways(server.url, 3, seconds=SLOW, entries=65536) as caches:
            model, numbers = Model(), range(300)
            for cached in caches:
                await cached.infer(rows_of_numbers(*numbers), None, model.infer)
                await written(cached)
            await caches[0].drop(rows_of_numbers(*range(299)))
            for cached in caches:
                await eventually(lambda cached=cached: cached.table.entries == 1, 2)
                assert known(cached, rows_of_numbers(5, 299)).hits.tolist() == [False, True]
            assert len(names(server)) == 1
            await caches[1].infer(rows_of_numbers(5), None, model.infer)
            assert model.calls == [[*numbers], [5]]

    asyncio.run(work())


def test_flush_forgets_all_predictions_of_all_models_and_nothing_else(server: RedisServer) -> None:
    async def work() -> None:
        async with shared(server.url, seconds=SLOW) as redis, shared(server.url, seconds=SLOW) as another:
            model, numbers = Model(), range(3000)
            caches = [cache("a", redis, 65536), cache("b", redis, 65536), cache("a", another, 65536)]
            for cached in caches:
                await cached.infer(rows_of_numbers(*numbers), None, model.infer)
                await written(cached)
            with server.client() as client:
                client.set("epm:facts:" + "0" * 32, b"kept")
                client.set("epm:store", b"kept")
            assert len(names(server)) == 6000
            await redis.flush()
            for cached in caches:
                await eventually(lambda cached=cached: cached.table.entries == 0, 2)
            assert names(server) == []
            with server.client() as client:
                assert client.dbsize() == 2

    asyncio.run(work())


def test_nothing_of_rows_answers_names_or_keys_is_in_the_clear(server: RedisServer) -> None:
    async def work() -> None:
        async with shared(server.url, seconds=SLOW) as redis:
            cached = cache("a-digest", redis)
            await cached.infer(rows_of_numbers(12345), None, Model().infer)
            await written(cached)
            with server.client() as client:
                (name,) = names(server)
                value = client.get(name)
            features = rows_of_numbers(12345)["features"].tobytes()
            assert len(name) == len(PREFIX) + 32
            assert len(value) == 12 + 16
            for told in (features, features[:4], b"12345", b"a-digest", b"features", b"0123456789abcdef"):
                assert told not in name
                assert told.hex().encode() not in name
            assert features not in value
            assert "12345" not in repr(redis)

    asyncio.run(work())


def test_no_more_is_written_at_a_time_than_there_is_room_for(server: RedisServer) -> None:
    async def work() -> None:
        async with shared(server.url, seconds=SLOW) as redis:
            rng = np.random.default_rng(0)
            for _ in range(6):
                keys = rng.integers(0, 2**63, (1000, 2)).astype(np.uint64)
                redis.put(keys, np.zeros((1000, 12), np.uint8), np.full(1000, 60.0))
            await eventually(lambda: redis._unanswered == 0, 5)
            assert (redis.rows["written"], redis.rows["unwritten"]) == (4000, 2000)
            assert len(names(server)) == 4000

    asyncio.run(work())


def test_a_version_that_is_no_longer_served_is_not_told_any_more(server: RedisServer) -> None:
    async def work() -> None:
        async with shared(server.url, seconds=SLOW) as redis:
            kept, gone = cache(redis=redis), cache("another", redis=redis)
            assert len(redis.listeners) == 2
            del gone
            assert [listener() for listener in redis.listeners] == [kept._dropped_elsewhere]

    asyncio.run(work())


def test_a_user_who_may_not_listen_cannot_use_it(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with shared(server.url.replace("redis://", "redis://deaf:secret@")) as redis:
            assert not redis.link.up
            with pytest.raises(NotReady):
                await redis.flush()

    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "+@all", "resetchannels")
    asyncio.run(work())
    assert "the prediction cache cannot be used: the user may not do what is needed" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["unix://run/secret", "unix://secret", "unix://", "unix:///", "unix://:6379/secret"])
def test_a_socket_without_a_path_of_its_own_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"got a unix:// URL with a host .*unix:///path") as refusal:
        RedisCache(url, HashKey(bytes(16)))
    assert "secret" not in refusal.value.message
    RedisCache("unix:///run/redis.sock", HashKey(bytes(16)))
    RedisCache("unix://default:secret@/run/redis.sock?db=4", HashKey(bytes(16)))


def test_a_url_that_cannot_be_understood_is_refused_by_its_own_name() -> None:
    with pytest.raises(SettingsError, match="EPM_CACHE_REDIS_URL: got something else") as refusal:
        RedisCache("http://secret", HashKey(bytes(16)))
    assert "secret" not in refusal.value.message
