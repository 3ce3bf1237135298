"""The Redis of kept predictions dies, stands still, is full, or holds something else, while callers ask a gateway."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from serving.cache.redis_link import PREFIX
from tests.conftest import MODEL_REPO
from tests.support.gateways import Running, gateway
from tests.support.load import Caller, Load, Rows, failed, wrong
from tests.support.metrics import sample, until
from tests.support.redis import RedisServer

pytestmark = [pytest.mark.faults, pytest.mark.alone]

MODEL, PEOPLE = "performance_model", 5000
TABLE_BYTES = 1 << 16
"""Room for about a quarter of these people: many of the others come out of Redis."""
SLACK = 3.0
"""Seconds that a call may take: two processors are shared with all other tests."""
STUMBLED = ("Traceback", "defect", "never retrieved", "never awaited", "CancelledError")


@dataclass
class Place:
    """A gateway and the Redis of its predictions."""

    redis: RedisServer
    at: Running
    rows: Rows

    @property
    def up(self) -> bool:
        return sample(self.at, "epm_cache_redis_up") == 1

    def came(self, origin: str) -> float:
        """Rows so far, by where their prediction came from."""
        return sample(self.at, "epm_cache_rows_total", **{"model": MODEL, "from": origin})

    def outcomes(self, outcome: str) -> float:
        """Rows so far that were asked of Redis, or written to it."""
        return sample(self.at, "epm_cache_redis_rows_total", outcome=outcome)

    def grow(self, count: Callable[[], float], by: float = 200) -> bool:
        """Whether a count does, soon."""
        least = count() + by
        return until(lambda: count() >= least)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    key = tmp_path_factory.mktemp("kept") / "key"
    key.write_text("00112233445566778899aabbccddeeff\n")
    with RedisServer(**{"maxmemory-policy": "noeviction"}) as redis:
        options = {"cache": "redis", "cache_redis_url": redis.url, "cache_bytes": TABLE_BYTES, "hash_key_file": key}
        with gateway(MODEL_REPO, **options) as at:
            yield Place(redis, at, Rows(MODEL, PEOPLE))
    log = "".join(at.log)
    assert [word for word in STUMBLED if word in log] == [], log[-3000:]


def kill(place: Place) -> None:
    """It comes back empty."""
    place.redis.kill()
    assert until(lambda: not place.up)
    time.sleep(0.5)
    place.redis.start()
    assert place.grow(lambda: place.outcomes("written"))


def stand_still(place: Place) -> None:
    """Once for a moment, in which the link stays, and once for longer."""
    for seconds in (0.3, 1.5):
        place.redis.pause()
        time.sleep(seconds)
        place.redis.resume()
        assert until(lambda: place.up)


def fill(place: Place) -> None:
    """It is read all the time."""
    with place.redis.client() as client:
        for name in client.keys(PREFIX + b"*")[::2]:
            client.unlink(name)
        client.config_set("maxmemory", 1)
        try:
            assert place.grow(lambda: place.outcomes("refused"))
            assert place.grow(lambda: place.came("redis"))
            assert place.up
        finally:
            client.config_set("maxmemory", 0)


def spoil(place: Place) -> None:
    """Under each key there is something else: another's value, a part of it, a bit that is wrong, nothing, a list."""
    with place.redis.client() as client:
        for _ in range(3):
            names = client.keys(PREFIX + b"*")
            kept = [(name, value) for name, value in zip(names, client.mget(names), strict=True) if value]
            assert len(kept) > 100
            pipe = client.pipeline(transaction=False)
            for number, ((name, value), (_, another)) in enumerate(zip(kept, kept[1:] + kept[:1], strict=True)):
                match number % 6:
                    case 0:
                        pipe.set(name, another)
                    case 1:
                        pipe.set(name, value[:-1])
                    case 2:
                        bit = number % (8 * len(value))
                        changed = bytearray(value)
                        changed[bit // 8] ^= 1 << bit % 8
                        pipe.set(name, bytes(changed))
                    case 3:
                        pipe.set(name, b"")
                    case 4:
                        pipe.set(name, bytes(len(value)))
                    case 5:
                        pipe.unlink(name)
                        pipe.rpush(name, value)
            pipe.execute()
            assert place.grow(lambda: place.outcomes("corrupt"))


@pytest.mark.parametrize("fault", [kill, stand_still, fill, spoil])
def test_no_call_fails_no_answer_is_wrong_and_it_is_used_again(fault: Callable[[Place], None], place: Place) -> None:
    patient, hasty = Caller("patient", place.rows), Caller("hasty", place.rows, SLACK)
    many = Caller("many", place.rows, most=600, pause=0.02)
    with Load(place.at, [patient, patient, hasty, many]) as load:
        load.more(20, "patient", "hasty", "many")
        assert place.grow(lambda: place.came("redis"))
        fault(place)
        assert until(lambda: place.up)
        assert place.grow(lambda: place.came("redis"))
        load.more(20, "patient", "hasty", "many")
    assert not wrong(load.calls), load.counts()
    assert not failed(load.calls), load.counts()
    assert max(call.seconds for call in load.calls) < SLACK
    assert place.came("table") > 0
