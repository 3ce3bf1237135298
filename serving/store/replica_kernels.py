"""Records by 128-bit key in flat arrays: a table with open addressing in front of a ring of blocks with second chance.

slots: int64[s, 4], s a power of two; a row is (key, key, first word of the block, about), all zero where it is free.
       about: length of the record in bytes, a bit "was used" (32), and the epoch in which it was last right (33-62).
ring:  int64[w], blocks without gaps. The first word of a block is its size in words * 2, + 1 where a record stands in
       it: then two words of key and the bytes of the record follow, else zeros (and sizes of former empty blocks).
clock: int64[8]: where the next record is tried, records, their words, evictions, the end of all words ever written;
       the sequence lock of all this (`shared_kernels`): one thread changes it, others may `take` records meanwhile; the
       epoch in which they may, 0 for none, and until when, in nanoseconds as `time.monotonic_ns()` counts.
"""

import numpy as np

from serving.jit import bare, kernel
from serving.shared_kernels import begin_change, end_change, replace

HAND, RECORDS, WORDS, EVICTIONS, WRITTEN, LOCK, EPOCH, UNTIL = range(8)
CLOCK = 8
_LENGTH = (1 << 32) - 1
_USED = 1 << 32
_EPOCH = 33
_HEADER = 3
_MOST_SPARED = 256
FOUND, NOT_FOUND = 0, 1


@kernel
def _copy(target, to, source, start, count):
    """Copy `count` elements; indexes without a sign leave the compiler no doubt that this is one move of memory."""
    for i in range(count):
        target[np.uint64(to + i)] = source[np.uint64(start + i)]


@kernel
def _lock(clock):
    """The address of the sequence lock."""
    return clock.ctypes.data + 8 * LOCK


@kernel
def _find(slots, low, high):
    """The slot of a key, -1 where it is in none. There is always a free slot, which ends the search."""
    mask = slots.shape[0] - 1
    i = low & mask
    while slots[i, 3] != 0:
        if slots[i, 0] == low and slots[i, 1] == high:
            return i
        i = (i + 1) & mask
    return -1


@kernel
def _release(slots, ring, clock, i):
    """Forget what slot i holds: zeros in its block; the slots behind it move up, so that all are still found."""
    at = slots[i, 2]
    size = ring[at] >> 1
    ring[at] = size << 1
    ring[at + 1 : at + size] = 0
    clock[RECORDS] -= 1
    clock[WORDS] -= size
    mask = slots.shape[0] - 1
    free = i
    i = (i + 1) & mask
    while slots[i, 3] != 0:
        if ((i - slots[i, 0]) & mask) >= ((i - free) & mask):
            slots[free] = slots[i]
            free = i
        i = (i + 1) & mask
    slots[free] = 0


@kernel
def _room(slots, ring, clock, need, most):
    """The first of `need` free words in one piece, with fewer than `most` records left in the table.

    The hand goes round: it takes empty blocks and records not used since it last came by, and spares others once, but
    not too many of them in a row, so that nobody waits for it long.
    """
    spared = 0
    start = at = clock[HAND]
    while True:
        if at == ring.shape[0]:
            start = at = 0
        if ring[at] & 1:
            i = _find(slots, ring[at + 1], ring[at + 2])
            if slots[i, 3] & _USED and spared < _MOST_SPARED:
                slots[i, 3] ^= _USED
                spared += 1
                at += ring[at] >> 1
                start = at
                continue
            _release(slots, ring, clock, i)
            clock[EVICTIONS] += 1
        at += ring[at] >> 1
        if at - start >= need and clock[RECORDS] < most:
            break
    if at - start > need:
        ring[start + need] = (at - start - need) << 1
    clock[HAND] = start + need
    clock[WRITTEN] = max(clock[WRITTEN], min(start + need + 1, ring.shape[0]))
    return start


@kernel
def insert(slots, ring, clock, keys, buffer, starts, ends, epoch, most, largest):
    """Keep n records, which were right in `epoch`; of one that is empty or has more than `largest` bytes, nothing.

    keys: int64[n, 2]; record i is buffer[starts[i]:ends[i]]; most: records in the table at any time.
    """
    begin_change(_lock(clock))
    memory = ring.view(np.uint8)
    for r in range(keys.shape[0]):
        low, high, length = keys[r, 0], keys[r, 1], ends[r] - starts[r]
        i = _find(slots, low, high)
        if i >= 0:
            at = (slots[i, 2] + _HEADER) * 8
            differences = int(length != slots[i, 3] & _LENGTH)
            if differences == 0:
                for b in range(length):
                    differences |= memory[np.uint64(at + b)] ^ buffer[np.uint64(starts[r] + b)]
            if differences == 0:
                slots[i, 3] = length | (slots[i, 3] & _USED) | (epoch << _EPOCH)
                continue
            _release(slots, ring, clock, i)
        if length <= 0 or length > largest:
            continue
        size = _HEADER + ((length + 7) >> 3)
        first = _room(slots, ring, clock, size, most)
        ring[first] = size << 1 | 1
        ring[first + 1] = low
        ring[first + 2] = high
        ring[first + size - 1] = 0
        at = (first + _HEADER) * 8
        _copy(memory, at, buffer, starts[r], length)
        mask = slots.shape[0] - 1
        i = low & mask
        while slots[i, 3] != 0:
            i = (i + 1) & mask
        slots[i, 0] = low
        slots[i, 1] = high
        slots[i, 2] = first
        slots[i, 3] = length | (epoch << _EPOCH)
        clock[RECORDS] += 1
        clock[WORDS] += size
    end_change(_lock(clock))


@kernel
def drop(slots, ring, clock, keys):
    """Forget n keys, int64[n, 2]; those that are not there are nothing special."""
    begin_change(_lock(clock))
    for r in range(keys.shape[0]):
        i = _find(slots, keys[r, 0], keys[r, 1])
        if i >= 0:
            _release(slots, ring, clock, i)
    end_change(_lock(clock))


@kernel
def _revision(slots, ring, i):
    """The second eight bytes of the record in slot i, which are another number whenever it is written."""
    return ring[slots[i, 2] + _HEADER + 1] if slots[i, 3] & _LENGTH >= 16 else 0


@kernel
def unverified(slots, epoch, at, most, keys):
    """Find records last right in another epoch than this one, in up to `most` slots from `at` on.

    keys: int64[k, 2], written. Returns how many were found and the slot to go on with.
    """
    count = 0
    stop = min(at + most, slots.shape[0])
    while at < stop and count < keys.shape[0]:
        if slots[at, 3] != 0 and slots[at, 3] >> _EPOCH != epoch:
            keys[count] = slots[at, :2]
            count += 1
        at += 1
    return count, at


@kernel
def verify(slots, ring, clock, keys, revisions, epoch):
    """Of n records last right in another epoch: those with these revisions are right in this one, others are forgotten.

    keys: int64[n, 2]; revisions: int64[n].
    """
    begin_change(_lock(clock))
    for r in range(keys.shape[0]):
        i = _find(slots, keys[r, 0], keys[r, 1])
        if i >= 0 and slots[i, 3] >> _EPOCH != epoch:
            if _revision(slots, ring, i) == revisions[r]:
                slots[i, 3] = (slots[i, 3] & (_LENGTH | _USED)) | (epoch << _EPOCH)
            else:
                _release(slots, ring, clock, i)
    end_change(_lock(clock))


@kernel
def clear(slots, ring, clock):
    """Forget everything: zeros wherever something was ever written."""
    begin_change(_lock(clock))
    slots[:] = 0
    ring[: clock[WRITTEN]] = 0
    ring[0] = ring.shape[0] << 1
    clock[HAND] = clock[RECORDS] = clock[WORDS] = clock[WRITTEN] = 0
    end_change(_lock(clock))


@bare
def take(slots, base, ring, epoch, low, high, out, at):
    """Copy the record of a key to out[at:], in any thread; its length in bytes.

    -1 where it is not kept, was not last right in this epoch, or does not fit. base: address of slots; out: int64[:].
    Nothing is true of the outcome before the sequence lock has been looked at again. What is taken counts as used.
    """
    mask = slots.shape[0] - 1
    i = low & mask
    for _ in range(slots.shape[0]):
        about = slots[i, 3]
        if about == 0:
            return -1
        if slots[i, 0] == low and slots[i, 1] == high:
            length, first = about & _LENGTH, slots[i, 2] + _HEADER
            size = (length + 7) >> 3
            if about >> _EPOCH != epoch or first < _HEADER or first + size > ring.shape[0] or at + size > out.shape[0]:
                return -1
            _copy_words(out, at, ring, first, size)
            if about & _USED == 0:  # as long as it is the same: whoever changes it meanwhile knows better
                replace(base + 8 * (4 * i + 3), about, about | _USED)
            return length
        i = (i + 1) & mask
    return -1


@bare
def _copy_words(target, to, source, start, count):
    for i in range(count):
        target[to + i] = source[start + i]


@kernel
def collect(slots, ring, keys, epoch, unverified, places, state, stale):
    """Copy the records of n keys, int64[n, 2], into one new buffer, each once; returns it and how many are not there.

    places: int64[3, n], written: starts, ends, and the first row with the same key; state: uint8[n], written: FOUND or
    NOT_FOUND; stale: bool[n], written: found, and last right in another epoch. Those are found only if `unverified`.
    The number counts a key that is asked for several times once.
    """
    n = keys.shape[0]
    starts, ends, first = places[0], places[1], places[2]
    mask = 1
    while mask < 2 * n:
        mask *= 2
    rows = np.full(mask, -1, np.int32)
    mask -= 1
    total = missing = 0
    for r in range(n):
        low, high = keys[r, 0], keys[r, 1]
        i = low & mask
        while rows[i] >= 0 and (keys[rows[i], 0] != low or keys[rows[i], 1] != high):
            i = (i + 1) & mask
        if rows[i] >= 0:
            first[r] = rows[i]
            continue
        rows[i] = r
        first[r] = r
        starts[r] = ends[r] = 0
        state[r] = NOT_FOUND
        stale[r] = False
        i = _find(slots, low, high)
        if i >= 0:
            about = slots[i, 3]
            current = about >> _EPOCH == epoch
            if current or unverified:
                if about & _USED == 0:
                    slots[i, 3] = about | _USED
                state[r] = FOUND
                stale[r] = not current
                starts[r] = slots[i, 2]
                ends[r] = about & _LENGTH
                total += ((about & _LENGTH) + 7) >> 3
        if state[r] == NOT_FOUND:
            missing += 1
    words = np.empty(total, np.int64)
    at = 0
    for r in range(n):
        if first[r] != r:
            f = first[r]
            starts[r] = starts[f]
            ends[r] = ends[f]
            state[r] = state[f]
            stale[r] = stale[f]
        elif state[r] == FOUND:
            size = (ends[r] + 7) >> 3
            _copy(words, at, ring, starts[r] + _HEADER, size)
            starts[r] = at * 8
            ends[r] += at * 8
            at += size
    return words.view(np.uint8), missing
