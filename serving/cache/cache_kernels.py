"""Row keys, and a table of small values by 128-bit key in one flat array, in sets of WAYS slots.

slots: int64[s, 4 + V], s a multiple of WAYS; a row is (key, key, milliseconds at which it expires, the turn in which it
       was last used) and the bytes of its value, all zero where it is free. The second half of a key says in which set
       it is, the first half which slot is the first choice.
clock: int64[8]: turns, entries, hits, misses, evictions; the sequence lock of all this (`shared_kernels`): one thread
       changes it at a time, others may `take` values meanwhile; its generation, another one after anything was
       dropped.
"""

import numpy as np

from serving.features.memory_kernels import prefetch
from serving.hash_kernels import siphash64, siphash128
from serving.jit import bare, kernel
from serving.shared_kernels import begin_change, end_change

WAYS = 8
HEADER = 4
TURNS, ENTRIES, HITS, MISSES, EVICTIONS, LOCK, GENERATION = range(7)
CLOCK = 8
EXPIRES, USED = 2, 3
_HALF = np.uint64(32)


@kernel
def _copy(target, to, source, start, count):
    """Copy `count` elements; indexes without a sign leave the compiler no doubt that this is one move of memory."""
    for i in range(count):
        target[np.uint64(to + i)] = source[np.uint64(start + i)]


@kernel
def _hash_row(first, second, r, a, b, row, k0, k1, keys):
    """Write keys[r]: of `a` bytes of the first and `b` of the second. row: uint8[a + b], to work with."""
    _copy(row, 0, first, r * a, a)
    _copy(row, a, second, r * b, b)
    low, high = siphash128(row, 0, a + b, k0, k1)
    keys[r, 0] = low
    keys[r, 1] = high


@kernel
def row_keys(first, second, k0, k1, keys):
    """SipHash-2-4-128 of n rows. first: uint8[n, A]; second: uint8[n, B], which follows it; keys: int64[n, 2]."""
    a, b = first.shape[1], second.shape[1]
    row = np.empty(a + b, np.uint8)
    flat, other = first.reshape(-1), second.reshape(-1)
    for r in range(keys.shape[0]):
        _hash_row(flat, other, r, a, b, row, k0, k1, keys)


@kernel
def _lock(clock):
    """The address of the sequence lock."""
    return clock.ctypes.data + 8 * LOCK


@bare
def _home(slots, low, high):
    """The slot in which a key is looked for first."""
    sets = np.uint64(slots.shape[0] // WAYS)
    return np.int64(((np.uint64(high) >> _HALF) * sets) >> _HALF) * WAYS + (low & (WAYS - 1))


@kernel
def _find(slots, low, high):
    """The slot of a key, -1 where it is in none."""
    home = _home(slots, low, high)
    for way in range(WAYS):
        i = home ^ way
        if slots[i, 0] == low and slots[i, 1] == high and slots[i, EXPIRES] != 0:
            return i
    return -1


@kernel
def _release(slots, clock, i):
    """Zeros in slot i."""
    slots[i] = 0
    clock[ENTRIES] -= 1


@kernel
def look_up(slots, clock, keys, now, found, places):
    """Copy what is kept for n keys, int64[n, 2]; returns how many different keys are missing, m.

    found: uint8[n, W], written where there is something. places: int64[2, n], written: -1, or which of the m missing
    keys this is; and, in the first m places, the first row of each of them.
    """
    n, width, m = keys.shape[0], found.shape[1], 0
    kept, out, stride = slots.reshape(-1).view(np.uint8), found.reshape(-1), slots.shape[1]
    clock[TURNS] += 1
    for r in range(n):
        i = _find(slots, keys[r, 0], keys[r, 1])
        if i >= 0 and slots[i, EXPIRES] <= now:
            begin_change(_lock(clock))
            _release(slots, clock, i)
            end_change(_lock(clock))
            i = -1
        places[0, r] = -1
        if i >= 0:
            slots[i, USED] = clock[TURNS]
            _copy(out, r * width, kept, (i * stride + HEADER) * 8, width)
        else:
            places[1, m] = r
            m += 1
    clock[HITS] += n - m
    clock[MISSES] += m
    return _number(keys, m, places) if m > 0 else 0


@kernel
def _number(keys, m, places):
    """Of m missing rows, places[1, :m], those with another key than all before; writes and returns as `look_up`."""
    mask = 1
    while mask < 2 * m:
        mask *= 2
    numbers = np.full(mask, -1, np.int32)
    mask -= 1
    different = 0
    for at in range(m):
        r = places[1, at]
        i = keys[r, 0] & mask
        while numbers[i] >= 0:
            other = places[1, numbers[i]]
            if keys[other, 0] == keys[r, 0] and keys[other, 1] == keys[r, 1]:
                break
            i = (i + 1) & mask
        if numbers[i] < 0:
            numbers[i] = different
            places[1, different] = r
            different += 1
        places[0, r] = numbers[i]
    return different


@kernel
def look_up_rows(slots, clock, first, second, k0, k1, now, keys, found, places):
    """`row_keys`, then `look_up`; while a row is hashed, the slots of those before it are fetched."""
    a, b, stride = first.shape[1], second.shape[1], slots.shape[1]
    row = np.empty(a + b, np.uint8)
    flat, other = first.reshape(-1), second.reshape(-1)
    for r in range(keys.shape[0]):
        _hash_row(flat, other, r, a, b, row, k0, k1, keys)
        at = _home(slots, keys[r, 0], keys[r, 1]) * stride
        prefetch(slots, at)
        prefetch(slots, at + stride - 1)
    return look_up(slots, clock, keys, now, found, places)


@kernel
def fill(found, places, computed):
    """Put computed values, uint8[m, W], where `look_up` found nothing. found: uint8[n, W]; places: int64[2, n]."""
    width = found.shape[1]
    out, source = found.reshape(-1), computed.reshape(-1)
    for r in range(places.shape[1]):
        if places[0, r] >= 0:
            _copy(out, r * width, source, places[0, r] * width, width)


@kernel
def put(slots, clock, keys, given, expires, now):
    """Keep n values, uint8[n, W], under keys, int64[n, 2]; expires: float64[n], seconds; now: milliseconds.

    Where a set is full, what has expired makes room first, then what was used least lately.
    """
    width, stride = given.shape[1], slots.shape[1]
    kept, source = slots.reshape(-1).view(np.uint8), given.reshape(-1)
    begin_change(_lock(clock))
    clock[TURNS] += 1
    for r in range(keys.shape[0]):
        until = np.int64(expires[r] * 1000)
        if until <= now:
            continue
        low, high = keys[r, 0], keys[r, 1]
        i = _find(slots, low, high)
        if i < 0:
            i = _room(slots, _home(slots, low, high), now)
            if slots[i, EXPIRES] == 0:
                clock[ENTRIES] += 1
            elif slots[i, EXPIRES] > now:
                clock[EVICTIONS] += 1
            slots[i, 0] = low
            slots[i, 1] = high
        slots[i, EXPIRES] = until
        slots[i, USED] = clock[TURNS]
        _copy(kept, (i * stride + HEADER) * 8, source, r * width, width)
    end_change(_lock(clock))


@kernel
def _room(slots, home, now):
    """The slot of a set that is free or has expired, at home if possible, or else was used least lately."""
    best = home
    for way in range(WAYS):
        i = home ^ way
        if slots[i, EXPIRES] <= now:
            return i
        if slots[i, USED] < slots[best, USED]:
            best = i
    return best


@kernel
def drop(slots, clock, keys):
    """Forget n keys, int64[n, 2]; those that are not there are nothing special."""
    begin_change(_lock(clock))
    for r in range(keys.shape[0]):
        i = _find(slots, keys[r, 0], keys[r, 1])
        if i >= 0:
            _release(slots, clock, i)
    end_change(_lock(clock))


@kernel
def begin(clock):
    """All slots are being changed from now on."""
    begin_change(_lock(clock))


@kernel
def end(clock):
    """They are whole again."""
    end_change(_lock(clock))


@bare
def take(slots, turns, low, high, now, out, at, width):
    """Copy the value of a key to out[at : at + width], in any thread; whether there is one that has not expired.

    slots: as above; turns: how many there were; now: milliseconds; out: int32[:], width: in words of four bytes.
    Nothing is true of the outcome before the sequence lock has been looked at again. What is taken counts as used.
    """
    home = _home(slots, low, high)
    for way in range(WAYS):
        i = home ^ way
        if slots[i, 0] == low and slots[i, 1] == high and slots[i, EXPIRES] > now:
            value = slots[i, HEADER:].view(np.int32)
            for word in range(width):
                out[at + word] = value[word]
            slots[i, USED] = turns  # of another value by now, perhaps: it is spared a little longer
            return True
    return False


@kernel
def finite(words, kinds):
    """Whether all float32 among n rows of words, int32[n, K], are numbers. kinds: bool[K], whether a word is one."""
    exponent = np.int32(0x7F800000)
    wrong = 0
    for r in range(words.shape[0]):
        for k in range(kinds.shape[0]):
            wrong += kinds[k] and (words[r, k] & exponent) == exponent
    return wrong == 0


@kernel
def checksums(keys, values, k0, k1, out):
    """A keyed hash of each of n values and of the key under which it is kept.

    keys: int64[n, 2]; values: uint8[n, W]; out: uint64[n], written.
    """
    width = values.shape[1]
    row = np.empty(16 + width, np.uint8)
    both, source = keys.reshape(-1).view(np.uint8), values.reshape(-1)
    for r in range(keys.shape[0]):
        _copy(row, 0, both, r * 16, 16)
        _copy(row, 16, source, r * width, width)
        out[r] = siphash64(row, 0, 16 + width, k0, k1)
