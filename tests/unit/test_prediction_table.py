"""The table of predictions: bounded, never a wrong value, and what makes room is the right one."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import shared_kernels
from serving.cache import cache_kernels
from serving.cache.table import Table

pytestmark = pytest.mark.unit

WIDTH = 12


def key_of(set_of: int, number: int, sets: int = 1) -> tuple[int, int]:
    """A key whose place is in this set of so many; keys of other numbers differ in their first half alone."""
    return number, ((set_of << 32) // sets + 1) << 32


def keys_of(*keys: tuple[int, int]) -> np.ndarray:
    return np.array(keys, np.uint64).reshape(-1, 2)


def value_of(number: int, version: int = 0) -> np.ndarray:
    return np.frombuffer(bytearray(number.to_bytes(8, "big") + version.to_bytes(4, "big")), np.uint8)


def put(table: Table, numbers: list[int], until: float, now: float = 1.0, version: int = 0) -> None:
    keys = keys_of(*(key_of(0, number) for number in numbers))
    table.put(keys, np.stack([value_of(number, version) for number in numbers]), np.full(len(keys), until), now)


def found(table: Table, numbers: list[int], now: float = 1.0) -> list[int | None]:
    """The version of each value that is there; fails if it is another number's."""
    got = table.find(keys_of(*(key_of(0, number) for number in numbers)), now)
    versions: list[int | None] = []
    for row, number in enumerate(numbers):
        if got.hits[row]:
            assert got.values[row, :8].tobytes() == number.to_bytes(8, "big")
        versions.append(int.from_bytes(got.values[row, 8:].tobytes(), "big") if got.hits[row] else None)
    return versions


def test_what_was_put_is_found_until_it_expires() -> None:
    table = Table(Table.bytes_for(8, WIDTH), WIDTH)
    put(table, [1, 2], until=5.0)
    put(table, [3], until=9.0)
    assert found(table, [1, 2, 3, 4], now=4.998) == [0, 0, 0, None]
    assert found(table, [1, 2, 3], now=5.0) == [None, None, 0]
    assert (table.entries, table.hits, table.misses, table.evictions) == (1, 4, 3, 0)


def test_what_is_put_again_is_the_newer_one_and_lives_longer() -> None:
    table = Table(Table.bytes_for(8, WIDTH), WIDTH)
    put(table, [1], until=5.0)
    put(table, [1], until=9.0, version=7)
    assert found(table, [1], now=8.0) == [7]
    assert table.entries == 1


def test_what_has_expired_already_is_not_kept() -> None:
    table = Table(Table.bytes_for(8, WIDTH), WIDTH)
    put(table, [1], until=1.0)
    assert (found(table, [1]), table.entries) == ([None], 0)


def test_expired_entries_make_room_first_then_the_least_used() -> None:
    table = Table(Table.bytes_for(8, WIDTH), WIDTH)
    for number in range(8):
        put(table, [number], until=3.0 if number == 5 else 100.0)
    found(table, [0, 1], now=2.0)
    put(table, [100], until=100.0, now=4.0)
    assert table.evictions == 0
    put(table, [101, 102], until=100.0, now=4.0)
    assert table.evictions == 2
    assert found(table, [*range(8), 100, 101, 102], now=4.0) == [0, 0, None, None, 0, None, 0, 0, 0, 0, 0]
    assert table.entries == 8


def test_keys_that_share_a_set_and_a_half_are_told_apart() -> None:
    table = Table(Table.bytes_for(8, WIDTH), WIDTH)
    keys = keys_of((1, 5), (5, 1), (1, 6), (2, 5), (0, 0), (0, 1), (2**64 - 1, 2**64 - 1))
    values = np.arange(len(keys), dtype=np.uint8)[:, None].repeat(WIDTH, axis=1)
    for row in range(len(keys)):
        assert not table.find(keys[row:], 1.0).hits.any()
        table.put(keys[row : row + 1], values[row : row + 1], np.full(1, 2.0), 1.0)
    got = table.find(keys, 1.0)
    assert got.hits.all()
    assert np.array_equal(got.values, values)


def test_missing_rows_are_numbered_once_each_in_the_order_of_their_first_row() -> None:
    table = Table(Table.bytes_for(8, WIDTH), WIDTH)
    put(table, [1], until=5.0)
    got = table.find(keys_of(*(key_of(0, number) for number in (7, 1, 8, 7, 9, 8, 1, 7))), 1.0)
    assert got.hits.tolist() == [False, True, False, False, False, False, True, False]
    assert (got.missing, got.firsts.tolist()) == (3, [0, 2, 4])
    filled = got.fill(np.stack([value_of(number, 3) for number in (7, 8, 9)]))
    assert [int(row[7]) for row in filled] == [7, 1, 8, 7, 9, 8, 1, 7]


def test_what_is_dropped_is_overwritten() -> None:
    table = Table(Table.bytes_for(64, WIDTH), WIDTH)
    keys = keys_of((1, 1 << 40), (2, 1 << 63))
    table.put(keys, np.frombuffer(bytearray(b"canary-12345" * 2), np.uint8).reshape(2, WIDTH), np.full(2, 9.0), 1.0)
    table.drop(keys[:1])
    assert table.find(keys, 1.0).hits.tolist() == [False, True]
    assert table._slots.tobytes().count(b"canary") == 1
    table.clear()
    assert table.entries == 0
    assert b"canary" not in table._slots.tobytes()


def test_what_was_computed_before_something_was_dropped_is_not_kept() -> None:
    table = Table(Table.bytes_for(8, WIDTH), WIDTH)
    keys, values = keys_of((1, 1)), value_of(1)[None]
    for forget in (lambda: table.drop(keys_of((2, 2))), table.clear):
        generation = table.find(keys, 1.0).generation
        forget()
        assert not table.put(keys, values, np.full(1, 9.0), 1.0, generation)
        assert table.entries == 0
    assert table.put(keys, values, np.full(1, 9.0), 1.0, table.generation)


SETS = 3
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=12)),
    st.tuples(st.just("find"), st.lists(st.integers(0, 40), max_size=12)),
    st.tuples(st.just("drop"), st.lists(st.integers(0, 40), max_size=4)),
    st.tuples(st.just("clear"), st.none()),
    st.tuples(st.just("wait"), st.integers(1, 10)),
)


@settings(max_examples=300)
@given(st.lists(OPERATIONS, max_size=60))
def test_it_is_a_dictionary_that_forgets(operations: list) -> None:
    """Never a wrong or an expired value; what the dictionary has is forgotten only where a set was full."""
    table, model, now = Table(Table.bytes_for(8 * SETS, WIDTH), WIDTH), {}, 1.0
    lost, version = 0, 0

    def key(number: int) -> tuple[int, int]:
        return key_of(number % SETS, number // SETS, SETS)

    for operation, given_ in operations:
        match operation:
            case "put":
                version += 1
                numbers = [number for number, _ in given_]
                until = np.array([now + life for _, life in given_], np.float64)
                values = np.array([value_of(number, version) for number in numbers], np.uint8).reshape(-1, WIDTH)
                table.put(keys_of(*map(key, numbers)), values, until, now)
                model |= {number: (version, end) for number, end in zip(numbers, until, strict=True)}
            case "find":
                got = table.find(keys_of(*map(key, given_)), now)
                for row, number in enumerate(given_):
                    kept = model.get(number)
                    if got.hits[row]:
                        assert kept is not None
                        assert kept[1] > now
                        assert got.values[row].tobytes() == value_of(number, kept[0]).tobytes()
                    elif kept is not None and kept[1] > now:
                        lost += 1
                        del model[number]
            case "drop":
                table.drop(keys_of(*map(key, given_)))
                for number in given_:
                    model.pop(number, None)
            case "clear":
                table.clear()
                model.clear()
            case "wait":
                now += given_
        assert lost <= table.evictions
        assert table.entries <= table.slots


def test_a_table_is_as_large_as_it_may_be_and_no_larger() -> None:
    for entries in (1, 8, 9, 1000):
        bytes_ = Table.bytes_for(entries, WIDTH)
        assert Table(bytes_, WIDTH).bytes == bytes_
        assert Table(bytes_, WIDTH).slots == -(-entries // 8) * 8
        assert Table(bytes_ + 8 * (32 + 16) - 1, WIDTH).bytes == bytes_
    with pytest.raises(ValueError, match="expected at least 448"):
        Table(447, WIDTH)


def _resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_million_entries_take_the_memory_that_the_formula_says() -> None:
    bound = Table.bytes_for(1_000_000, WIDTH)
    assert bound == 1_000_000 * (32 + 16) + 64
    put(Table(Table.bytes_for(8, WIDTH), WIDTH), [1], until=9.0)  # compiles
    random = np.random.default_rng(0)
    values, until = np.ones((10_000, WIDTH), np.uint8), np.full(10_000, 9.0)
    before = _resident()
    table = Table(bound, WIDTH)
    assert (table.bytes, table.slots) == (bound, 1_000_000)
    assert _resident() - before < bound // 10
    for _ in range(300):
        table.put(random.integers(0, 2**64, (10_000, 2), np.uint64), values, until, 1.0)
    grown = _resident() - before
    assert table.entries > 999_900
    assert table.bytes == bound
    assert 0.95 * bound < grown < 1.05 * bound + (4 << 20)


def test_many_threads_at_once() -> None:
    """Whatever is found is what belongs to the key."""
    table, wrong = Table(Table.bytes_for(64, WIDTH), WIDTH), []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(300):
            numbers = random.integers(0, 200, 50)
            keys = np.stack([numbers, numbers << 55], axis=1).astype(np.uint64)
            got = table.find(keys, 1.0)
            belongs = (got.values == numbers[:, None].astype(np.uint8)).all(axis=1)
            wrong.extend(numbers[got.hits & ~belongs])
            table.put(keys, numbers[:, None].astype(np.uint8).repeat(WIDTH, axis=1), np.full(50, 9.0), 1.0)
            if seed == 0:
                table.drop(keys[:3])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert table.entries <= table.slots


def take(table: Table, key: np.ndarray, now: float, out: np.ndarray, at: int = 0) -> bool | None:
    """As another thread finds a value; None where it cannot tell."""
    slots, clock = table.arrays
    lock = clock.ctypes.data + 8 * cache_kernels.LOCK
    seen = shared_kernels.begin_read(lock)
    low, high = key.view(np.int64).tolist()
    there = cache_kernels.take(slots, 7, low, high, int(now * 1000), out, at, table.value_bytes // 4)
    return bool(there) if shared_kernels.is_unchanged(lock, seen) else None


def test_others_find_the_same_without_the_lock() -> None:
    table, out = Table(Table.bytes_for(8, WIDTH), WIDTH), np.full(5, 9, np.int32)
    put(table, [1, 2], until=5.0, version=3)
    (key,) = keys_of(key_of(0, 2))
    assert take(table, key, 4.999, out, 1) is True
    assert out[1:4].tobytes() == value_of(2, 3).tobytes()
    assert out[[0, 4]].tolist() == [9, 9]
    assert take(table, key, 5.0, out) is False
    assert take(table, keys_of(key_of(0, 3))[0], 1.0, out) is False
    table.taken += 1
    assert table.hits == 1
    table.drop(keys_of(key_of(0, 2)))
    assert take(table, key, 1.0, out) is False


def test_what_others_take_is_one_value_and_not_half_of_another() -> None:
    width, count = 40_000, 8
    table, out = Table(Table.bytes_for(8, width), width), np.empty(width // 4, np.int32)
    keys = keys_of(*(key_of(0, number) for number in range(count)))
    stop = threading.Event()

    def change() -> None:
        version = 0
        while not stop.is_set():
            version += 1
            values = np.repeat(np.arange(count) * 1_000_000 + version % 1000, width // 4).astype(np.int32)
            table.put(keys, values.view(np.uint8).reshape(count, width), np.full(count, 1e6), 1.0)
            table.drop(keys[version % count][None])
            if version % 50 == 0:
                table.clear()

    writer = threading.Thread(target=change)
    writer.start()
    taken = refused = number = 0
    until = time.monotonic() + 60
    try:
        while (taken < 300 or refused < 3) and time.monotonic() < until:
            number = (number + 1) % count
            there = take(table, keys[number], 1.0, out)
            refused += there is None
            if there:
                assert out[0] // 1_000_000 == number
                assert (out == out[0]).all()
                taken += 1
    finally:
        stop.set()
        writer.join()
    assert taken >= 300
    assert refused >= 3
