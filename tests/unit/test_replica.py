"""The replica against a dictionary: it may have forgotten, it never answers wrongly, and it leaves no trace."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import shared_kernels
from serving.store import replica_kernels
from serving.store.fetched import FOUND, NOT_FOUND
from serving.store.replica import Replica

pytestmark = pytest.mark.unit

SMALL = 4096
"""Bytes: 16 slots, 12 of which may be used, and 448 words."""
LARGEST = 896


def key_of(number: int, collide: bool = False) -> np.ndarray:
    """A key; those that collide all want the last slot of every table."""
    return np.array([0xFFFFFFFF if collide else number * 0x9E3779B97F4A7C15 % 2**64, number + 1], np.uint64)


def record_of(number: int, version: int, length: int) -> bytes:
    """A record whose every eight bytes tell whose it is; never zero."""
    return (bytes([1 + number, 255 - number % 100, 7, 1 + version % 250]) * (length // 4 + 1))[:length]


def insert(replica: Replica, records: dict[int, bytes], epoch: int = 1, collide: bool = False) -> None:
    keys = np.array([key_of(number, collide) for number in records], np.uint64).reshape(-1, 2)
    ends = np.array([len(record) for record in records.values()], np.int64).cumsum()
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    replica.insert(keys, np.frombuffer(b"".join(records.values()), np.uint8), starts, ends, epoch)


def collect(
    replica: Replica, numbers: list[int], epoch: int = 1, unverified: bool = False, collide: bool = False
) -> list[tuple[bytes, bool] | None]:
    """(record, stale) or None for each."""
    keys = np.array([key_of(number, collide) for number in numbers], np.uint64).reshape(-1, 2)
    got = replica.collect(keys, epoch, unverified)
    answers = []
    for row, (start, end) in enumerate(zip(got.starts, got.ends, strict=True)):
        assert got.state[row] in (FOUND, NOT_FOUND)
        assert got.first[row] == numbers.index(numbers[row])
        found = got.state[row] == FOUND
        answers.append((got.buffer[start:end].tobytes(), bool(got.stale[row])) if found else None)
    assert got.missing == len({number for number, answer in zip(numbers, answers, strict=True) if answer is None})
    return answers


numbers = st.integers(0, 30)
records = st.dictionaries(numbers, st.tuples(st.integers(0, 200), st.integers(1, LARGEST)), max_size=8)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), records, st.integers(1, 3)),
        st.tuples(st.just("drop"), st.lists(numbers, max_size=6)),
        st.tuples(st.just("collect"), st.lists(numbers, max_size=12), st.integers(1, 3), st.booleans()),
        st.tuples(st.just("clear")),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=300)
@given(steps, st.booleans())
def test_it_forgets_but_never_lies_and_stays_in_its_bounds(steps: list[tuple], collide: bool) -> None:
    replica = Replica(SMALL)
    assert replica.bytes_at_most <= SMALL
    model: dict[int, tuple[bytes, int]] = {}
    for step in steps:
        match step:
            case "insert", given_records, epoch:
                new = {number: record_of(number, *about) for number, about in given_records.items()}
                insert(replica, new, epoch, collide)
                model |= {number: (record, epoch) for number, record in new.items()}
            case "drop", gone:
                replica.drop(np.array([key_of(number, collide) for number in gone], np.uint64).reshape(-1, 2))
                for number in gone:
                    model.pop(number, None)
            case "collect", asked, epoch, unverified:
                for number, answer in zip(asked, collect(replica, asked, epoch, unverified, collide), strict=True):
                    if answer is not None:
                        record, right_in = model[number]
                        assert answer == (record, right_in != epoch)
                        assert unverified or right_in == epoch
            case ("clear",):
                replica.clear()
                model.clear()
        assert replica.entries <= min(12, len(model))
        assert replica.bytes_used <= SMALL
        answers = collect(replica, list(model), 1, True, collide)
        kept = {number for number, answer in zip(model, answers, strict=True) if answer is not None}
        assert taken(replica) == sorted(key_of(number, collide).tolist() for number in kept)
        left = replica._ring.tobytes()
        for number in set(range(31)) - kept:
            assert record_of(number, 0, 3) not in left


def taken(replica: Replica) -> list[list[int]]:
    """The keys in the table; what is no key in it is zero."""
    used = replica._slots[:, 3] != 0
    assert not replica._slots[~used].any()
    assert used.sum() == replica.entries
    return sorted(replica._slots[used, :2].view(np.uint64).tolist())


def test_what_fits_is_kept_and_the_table_gives_way_before_it_is_full() -> None:
    replica = Replica(SMALL)
    for number in range(100):
        insert(replica, {number: record_of(number, 0, 16)})
    assert (replica.entries, replica.evictions) == (12, 88)
    assert collect(replica, list(range(88, 100))) == [(record_of(n, 0, 16), False) for n in range(88, 100)]


def test_a_record_in_use_gets_a_second_chance() -> None:
    replica = Replica(SMALL)
    favourite = record_of(0, 0, 100)
    insert(replica, {0: favourite})
    for number in range(1, 200):
        insert(replica, {number: record_of(number, 0, 100)})
        assert collect(replica, [0]) == [(favourite, False)]
    assert replica.evictions > 150


def test_a_record_that_is_too_large_is_not_kept_nor_the_one_before_it() -> None:
    replica = Replica(SMALL)
    insert(replica, {5: record_of(5, 0, 64)})
    insert(replica, {5: record_of(5, 1, LARGEST + 1)})
    assert collect(replica, [5]) == [None]
    assert taken(replica) == []
    assert record_of(5, 0, 3) not in replica._ring.tobytes()


def test_an_unchanged_record_stays_where_it_is_and_is_right_again() -> None:
    replica = Replica(SMALL)
    insert(replica, {1: record_of(1, 0, 64)}, epoch=1)
    before = replica._ring.copy()
    assert collect(replica, [1], epoch=2) == [None]
    assert collect(replica, [1], epoch=2, unverified=True) == [(record_of(1, 0, 64), True)]
    insert(replica, {1: record_of(1, 0, 64)}, epoch=2)
    assert collect(replica, [1], epoch=2) == [(record_of(1, 0, 64), False)]
    assert np.array_equal(before, replica._ring)


def test_cleared_memory_is_zero_but_for_the_size_of_the_ring() -> None:
    replica = Replica(SMALL)
    for number in range(60):
        insert(replica, {number: record_of(number, 0, 10 + number * 7)})
    replica.clear()
    assert (replica.entries, replica.bytes_used) == (0, 0)
    assert np.count_nonzero(replica._ring) == 1
    assert not replica._slots.any()


def test_an_empty_record_is_none() -> None:
    replica = Replica(SMALL)
    insert(replica, {1: record_of(1, 0, 64), 2: record_of(2, 0, 64)})
    insert(replica, {1: b"", 3: b""})
    assert taken(replica) == [key_of(2).tolist()]


@pytest.mark.parametrize("collide", [False, True])
def test_records_with_the_same_revision_are_right_again_and_all_others_are_forgotten(collide: bool) -> None:
    replica = Replica(SMALL)
    insert(replica, {number: record_of(number, 0, 40) for number in range(12)}, collide=collide)
    insert(replica, {0: record_of(0, 1, 40)}, epoch=2, collide=collide)
    keys, at = replica.unverified(2, 0)
    assert at == 0
    assert sorted(keys.tolist()) == sorted(key_of(number, collide).tolist() for number in range(1, 12))
    asked = [0, 20, 5, 6, 7]
    said = b"".join(record_of(number, number == 6, 16)[8:] for number in asked)
    keys = np.array([key_of(number, collide) for number in asked], np.uint64)
    replica.verify(keys, np.frombuffer(said, "<i8").astype(np.int64), 2)
    right = {0: record_of(0, 1, 40), 5: record_of(5, 0, 40), 7: record_of(7, 0, 40)}
    expected = [(right[number], False) if number in right else None for number in range(8)]
    assert collect(replica, list(range(8)), 2, collide=collide) == expected
    assert collect(replica, [6], 2, unverified=True, collide=collide) == [None]
    assert len(replica.unverified(2, 0)[0]) == 8
    assert record_of(6, 0, 3) not in replica._ring.tobytes()


def test_nothing_asked_nothing_said() -> None:
    replica = Replica(SMALL)
    assert collect(replica, []) == []
    replica.drop(np.empty((0, 2), np.uint64))
    insert(replica, {})
    assert replica.entries == 0


@pytest.mark.parametrize("most_bytes", [1 << 20, 3 << 20, (1 << 22) + 7])
def test_a_full_replica_stays_within_its_bytes_and_uses_most_of_them(most_bytes: int) -> None:
    replica = Replica(most_bytes)
    random = np.random.default_rng(3)
    for _ in range(40):
        keys = random.integers(0, 2**64, (500, 2), np.uint64)
        ends = random.integers(200, 2000, 500).cumsum()
        starts = np.concatenate([[0], ends[:-1]])
        replica.insert(keys, random.integers(1, 256, ends[-1], np.uint8), starts, ends, 1)
    assert replica.bytes_at_most <= most_bytes
    assert 0.8 * most_bytes < replica.bytes_used <= most_bytes


def test_what_another_thread_takes_is_whole_or_is_not_taken() -> None:
    """Long records under few keys, replaced all the time: a copy would often be of two of them."""
    replica = Replica(1 << 21)
    length, count = 100_000, 6
    slots, ring, clock = replica.arrays
    lock = clock.ctypes.data + 8 * replica_kernels.LOCK
    stop = threading.Event()

    def change() -> None:
        version = 0
        while not stop.is_set():
            version += 1
            insert(replica, {number: record_of(number, version + number, length) for number in range(count)})
            replica.drop(np.array([key_of(version % count)], np.uint64))
            if version % 50 == 0:
                replica.clear()

    writer = threading.Thread(target=change)
    writer.start()
    out = np.empty(length // 8, np.int64)
    taken = refused = 0
    keys = [key_of(number).view(np.int64).tolist() for number in range(count)]
    until = time.monotonic() + 60
    try:
        while (taken < 300 or refused < 3) and time.monotonic() < until:
            number = (taken + refused) % count
            seen = shared_kernels.begin_read(lock)
            got = replica_kernels.take(slots, slots.ctypes.data, ring, 1, *keys[number], out, 0)
            if not shared_kernels.is_unchanged(lock, seen):
                refused += 1
            elif got >= 0:
                record = out.view(np.uint8)[:got].tobytes()
                assert (record == record_of(number, record[3] - 1, length), record[0]) == (True, number + 1)
                taken += 1
    finally:
        stop.set()
        writer.join()
    assert taken >= 300
    assert refused >= 3


def test_what_was_taken_counts_as_used() -> None:
    """The hand spares it once."""
    replica = Replica(SMALL)
    slots, ring, _ = replica.arrays
    out = np.empty(128, np.int64)
    for taken in (0, 1, 2):
        replica.clear()
        insert(replica, {number: record_of(number, 1, LARGEST) for number in range(3)})
        key = key_of(taken).view(np.int64).tolist()
        assert replica_kernels.take(slots, slots.ctypes.data, ring, 1, *key, out, 0) == LARGEST
        for number in (10, 11):
            insert(replica, {number: record_of(number, 1, LARGEST)})
        assert collect(replica, [taken]) != [None]


def test_nothing_of_another_epoch_or_without_room_is_taken() -> None:
    replica = Replica(SMALL)
    slots, ring, _ = replica.arrays
    insert(replica, {1: record_of(1, 1, 100)}, epoch=4)
    key, base = key_of(1).view(np.int64).tolist(), slots.ctypes.data
    out = np.zeros(20, np.int64)
    assert replica_kernels.take(slots, base, ring, 4, *key, out, 7) == 100
    assert out.view(np.uint8)[56:156].tobytes() == record_of(1, 1, 100)
    assert replica_kernels.take(slots, base, ring, 4, *key, out, 8) == -1
    assert replica_kernels.take(slots, base, ring, 5, *key, out, 0) == -1
    other = key_of(2).view(np.int64).tolist()
    assert replica_kernels.take(slots, base, ring, 4, *other, out, 0) == -1
