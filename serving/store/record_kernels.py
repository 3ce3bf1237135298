"""Records of entities in bytes: parsed, checked and merged. The layout stands in `serving.store.records`.

`parse` is the one place that looks at where things lie in a record. It believes nothing: what it has let pass can be
read without leaving the record, whatever its bytes are. All arrays of bytes are uint8[:], contiguous and not read-only.
"""

import numpy as np

from serving.hash_kernels import siphash64
from serving.jit import kernel

# Repeated from `serving.store.facts` and `serving.contract`: compiled code is made anew only if a kernel file changes.
MOST_FACTS, MOST_SERIES, MOST_SOURCES, MOST_MONTHS = 256, 64, 255, 36

LARGEST = 1 << 16  # bytes of a record, as in `serving.store.records`

VERSION = 1
HEAD, CHECKSUM, STAMP = 16, 4, 17  # bytes
MISSING, NUMBER, TEXT = range(3)  # kinds of facts
EXACT, NOTHING = 255, -32768  # scale of values that are float64 each; packed value of a month of which nothing is known
SAME, CHANGED, TOO_MANY_FACTS, TOO_MANY_SERIES, TOO_MANY_SOURCES, TOO_LARGE, CORRUPT = range(7)
EARLIEST, LATEST = -32768, 32767  # months since January 1970

# Columns of the tables that `parse` writes, one row a source, fact or series. They hold places in the bytes.
AT, END = 0, 1  # of the name or source
FACT_STAMP, KIND, PAYLOAD, FACT_END = 2, 3, 4, 5
FIRST, MONTHS, STAMPS, SCALE, VALUES = 2, 3, 4, 5, 6

_ZERO, _EIGHT, _HALF = np.uint64(0), np.uint64(8), np.uint64(0xFFFFFFFF)
_POWERS = np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])


@kernel
def load(data, at, size):
    """The little-endian number in data[at:at + size], as uint64."""
    word = _ZERO
    for b in range(size):
        word |= np.uint64(data[np.uint64(at + b)]) << (_EIGHT * np.uint64(b))
    return word


@kernel
def store(data, at, size, word):
    """Write a number and return where the next one goes."""
    for b in range(size):
        data[np.uint64(at + b)] = np.uint8((np.uint64(word) >> (_EIGHT * np.uint64(b))) & np.uint64(255))
    return at + size


@kernel
def load_int16(data, at):
    return np.int64(np.int16(load(data, at, 2)))


@kernel
def load_int64(data, at):
    return np.int64(load(data, at, 8))


@kernel
def load_float(data, at):
    return np.uint64(load(data, at, 8)).view(np.float64)


@kernel
def compare(a, a_at, a_end, b, b_at, b_end):
    """Below, equal to or above 0, as a[a_at:a_end] sorts before, with or after b[b_at:b_end]."""
    length = min(a_end - a_at, b_end - b_at)
    for i in range(length):
        x, y = np.int64(a[np.uint64(a_at + i)]), np.int64(b[np.uint64(b_at + i)])
        if x != y:
            return x - y
    return (a_end - a_at) - (b_end - b_at)


@kernel
def tables():
    """Room for what `parse` finds: sources, facts, series."""
    return (
        np.empty((MOST_SOURCES, 2), np.int64),
        np.empty((MOST_FACTS, 6), np.int64),
        np.empty((MOST_SERIES, 7), np.int64),
    )


@kernel
def parse(data, start, end, sources, facts, series):
    """Find everything in the record data[start:end], which is without its checksum here.

    sources, facts, series: from `tables`, written.
    Returns (whether it is a record, number of sources, of stamps, of facts, of series, where the stamps begin,
    bytes of a stamp's number).
    """
    broken = (False, 0, 0, 0, 0, 0, 0)
    if not 0 <= start <= end <= data.shape[0] or end - start < HEAD or data[start] != VERSION:
        return broken
    n_sources, n_stamps = np.int64(data[start + 1]), np.int64(load(data, start + 2, 2))
    n_facts, n_series = np.int64(load(data, start + 4, 2)), np.int64(load(data, start + 6, 2))
    if n_facts > MOST_FACTS or n_series > MOST_SERIES:
        return broken
    at = start + HEAD
    for i in range(n_sources):
        if at >= end or at + 1 + data[at] > end:
            return broken
        sources[i, AT], sources[i, END] = at + 1, at + 1 + data[at]
        at = sources[i, END]
        if i and compare(data, sources[i - 1, AT], sources[i - 1, END], data, sources[i, AT], at) >= 0:
            return broken

    stamps = at
    if at + n_stamps * STAMP > end:
        return broken
    for i in range(n_stamps):
        if data[at + 16] >= n_sources:
            return broken
        order = _compare_times(data, at - STAMP, data, at) if i else -1
        if order > 0 or (order == 0 and data[at - 1] >= data[at + 16]):
            return broken
        at += STAMP
    width = stamp_width(n_stamps)

    for i in range(n_facts):
        if at >= end:
            return broken
        name, name_end = at + 1, at + 1 + data[at]
        payload = name_end + width + 1
        if payload > end:
            return broken
        kind = data[payload - 1]
        at = payload
        if kind == NUMBER:
            at += 8
        elif kind == TEXT and at < end:
            at += 1 + data[at]
        elif kind != MISSING:
            return broken
        stamp = _stamp(data, name_end, width)
        if at > end or stamp >= n_stamps:
            return broken
        if i and compare(data, facts[i - 1, AT], facts[i - 1, END], data, name, name_end) >= 0:
            return broken
        facts[i, AT], facts[i, END], facts[i, FACT_STAMP] = name, name_end, stamp
        facts[i, KIND], facts[i, PAYLOAD], facts[i, FACT_END] = kind, payload, at

    nothing = (1 << (8 * width)) - 1
    for i in range(n_series):
        if at >= end:
            return broken
        name, name_end = at + 1, at + 1 + data[at]
        if name_end + 3 > end:
            return broken
        first, months = load_int16(data, name_end), np.int64(data[name_end + 2])
        series_stamps = name_end + 3
        values = series_stamps + months * width + 1
        if not 1 <= months <= MOST_MONTHS or first + months - 1 > LATEST or values > end:
            return broken
        scale = np.int64(data[values - 1])
        if scale >= _POWERS.shape[0] and scale != EXACT:
            return broken
        at = values + months * (8 if scale == EXACT else 2)
        if at > end:
            return broken
        if max(_stamp(data, series_stamps, width), _stamp(data, values - 1 - width, width)) >= n_stamps:
            return broken
        for m in range(1, months - 1):
            stamp = _stamp(data, series_stamps + m * width, width)
            if stamp >= n_stamps and stamp != nothing:
                return broken
        if i and compare(data, series[i - 1, AT], series[i - 1, END], data, name, name_end) >= 0:
            return broken
        series[i, AT], series[i, END], series[i, FIRST], series[i, MONTHS] = name, name_end, first, months
        series[i, STAMPS], series[i, SCALE], series[i, VALUES] = series_stamps, scale, values
    return at == end, n_sources, n_stamps, n_facts, n_series, stamps, width


@kernel
def _compare_times(a, a_at, b, b_at):
    """The order of two stamps, but for their sources: by time, then by sequence."""
    a_time, b_time = load_int64(a, a_at), load_int64(b, b_at)
    if a_time != b_time:
        return -1 if a_time < b_time else 1
    a_sequence, b_sequence = load(a, a_at + 8, 8), load(b, b_at + 8, 8)
    if a_sequence != b_sequence:
        return -1 if a_sequence < b_sequence else 1
    return 0


@kernel
def _stamp(data, at, width):
    """The number of a stamp."""
    return np.int64(data[np.uint64(at)]) if width == 1 else np.int64(load(data, at, 2))


@kernel
def stamp_width(stamps):
    """Bytes of a stamp's number: the largest number of them stands for none."""
    return 1 if stamps <= 255 else 2


@kernel
def known_stamp(data, row, m, width):
    """Number of the stamp of month m of a series, -1 if nothing is known of it. row: of the table of series."""
    stamp = _stamp(data, row[STAMPS] + m * width, width)
    return -1 if stamp == (1 << (8 * width)) - 1 else stamp


@kernel
def read_months(data, row, first, out):
    """The values of a series from its month `first` on, as many as go into `out`: float64[:], written."""
    at, scale = row[VALUES], row[SCALE]
    if scale == EXACT:
        for m in range(out.shape[0]):
            out[m] = load_float(data, at + 8 * (first + m))
        return
    power = _POWERS[scale]
    for m in range(out.shape[0]):
        packed = load_int16(data, at + 2 * (first + m))
        out[m] = np.nan if packed == NOTHING else packed / power


@kernel
def checksum(data, start, end):
    return siphash64(data, start, end, _ZERO, _ZERO) & _HALF


@kernel
def is_valid(data, start, end, sources, facts, series):
    """Whether data[start:end] is a whole record that nobody has changed."""
    body = end - CHECKSUM
    if end > data.shape[0] or not parse(data, start, body, sources, facts, series)[0]:
        return False
    return checksum(data, start, body) == load(data, body, CHECKSUM)


@kernel
def find_corrupt(data, starts, ends, state, found, corrupt):
    """Where state is `found` and the record is not valid, make it `corrupt`. Returns how many there were."""
    sources, facts, series = tables()
    count = 0
    for i in range(starts.shape[0]):
        if state[i] == found and not is_valid(data, starts[i], ends[i], sources, facts, series):
            state[i] = corrupt
            count += 1
    return count


@kernel
def merge(old, state, revision):
    """Merge the state of an event into a record.

    old: the record, or nothing; state: a record without a checksum; revision: uint64.
    Returns (SAME, CHANGED, or what is wrong; the new record if CHANGED).
    """
    a, b = old, state
    a_sources, a_facts, a_series = tables()
    b_sources, b_facts, b_series = tables()
    a_end = max(a.shape[0] - CHECKSUM, 0)
    a_fine, a_n_sources, a_n_stamps, a_n_facts, a_n_series, a_stamps, a_width = parse(
        a, 0, a_end, a_sources, a_facts, a_series
    )
    b_fine, b_n_sources, b_n_stamps, b_n_facts, b_n_series, b_stamps, b_width = parse(
        b, 0, b.shape[0], b_sources, b_facts, b_series
    )
    if not b_fine or (a.shape[0] > 0 and not (a_fine and checksum(a, 0, a_end) == load(a, a_end, 4))):
        return CORRUPT, old

    # Sources of both, in order, and which of these those of a and b are.
    sources = np.empty((a_n_sources + b_n_sources, 2), np.int64)
    n_sources = _match(a, a_sources, a_n_sources, b, b_sources, b_n_sources, sources)
    a_source, b_source = np.empty(a_n_sources, np.int64), np.empty(b_n_sources, np.int64)
    for q in range(n_sources):
        if sources[q, 0] >= 0:
            a_source[sources[q, 0]] = q
        if sources[q, 1] >= 0:
            b_source[sources[q, 1]] = q

    # Stamps of both, in order, and which of these those of a and b are: of two of these numbers the greater one counts.
    stamps = np.empty((a_n_stamps + b_n_stamps, 2), np.int64)
    a_rank, b_rank = np.empty(a_n_stamps, np.int64), np.empty(b_n_stamps, np.int64)
    i = j = n_stamps = 0
    while i < a_n_stamps or j < b_n_stamps:
        order = 1 if i == a_n_stamps else -1
        if i < a_n_stamps and j < b_n_stamps:
            a_at, b_at = a_stamps + i * STAMP, b_stamps + j * STAMP
            order = _compare_times(a, a_at, b, b_at)
            if order == 0:
                order = a_source[a[a_at + 16]] - b_source[b[b_at + 16]]
        stamps[n_stamps, 0] = stamps[n_stamps, 1] = -1
        if order <= 0:
            stamps[n_stamps, 0], a_rank[i] = i, n_stamps
            i += 1
        if order >= 0:
            stamps[n_stamps, 1], b_rank[j] = j, n_stamps
            j += 1
        n_stamps += 1

    # Facts of both, in order of their names; what does not count is struck out.
    changed = False
    stamp_number = np.full(n_stamps, -1, np.int64)  # 0: in use
    facts = np.empty((a_n_facts + b_n_facts, 2), np.int64)
    n_facts = _match(a, a_facts, a_n_facts, b, b_facts, b_n_facts, facts)
    for f in range(n_facts):
        i, j = facts[f]
        if i >= 0 and j >= 0:
            facts[f, 0 if b_rank[b_facts[j, FACT_STAMP]] > a_rank[a_facts[i, FACT_STAMP]] else 1] = -1
        if facts[f, 1] >= 0:
            stamp_number[b_rank[b_facts[j, FACT_STAMP]]] = 0
            changed = True
        else:
            stamp_number[a_rank[a_facts[i, FACT_STAMP]]] = 0

    # Series of both; places of months count from the oldest one that could be kept.
    series = np.empty((a_n_series + b_n_series, 2), np.int64)
    n_matched = _match(a, a_series, a_n_series, b, b_series, b_n_series, series)
    shapes = np.empty((n_matched, 3), np.int64)  # oldest month that could be kept, place of the first known one, scale
    values, ranks = np.full((n_matched, MOST_MONTHS), np.nan), np.full((n_matched, MOST_MONTHS), -1, np.int64)
    n_series = 0
    for s in range(n_matched):
        i, j = series[s]
        newest = EARLIEST
        if i >= 0:
            newest = _newest(a, a_series[i], newest)
        if j >= 0:
            newest = _newest(b, b_series[j], newest)
        oldest = newest - MOST_MONTHS + 1
        if i >= 0:
            _put_months(a, a_series[i], a_width, a_rank, oldest, ranks[n_series], values[n_series])
        if j >= 0:
            changed |= _put_months(b, b_series[j], b_width, b_rank, oldest, ranks[n_series], values[n_series])
        first = MOST_MONTHS
        for m in range(MOST_MONTHS - 1, -1, -1):
            if ranks[n_series, m] >= 0:
                stamp_number[ranks[n_series, m]] = 0
                first = m
        if first < MOST_MONTHS:
            series[n_series, 0], series[n_series, 1] = i, j
            shapes[n_series, 0], shapes[n_series, 1], shapes[n_series, 2] = oldest, first, _scale(values[n_series])
            n_series += 1

    if not changed:
        return SAME, old
    if n_facts > MOST_FACTS:
        return TOO_MANY_FACTS, old
    if n_series > MOST_SERIES:
        return TOO_MANY_SERIES, old

    # New numbers for what is in use of the stamps and sources; then the size is known.
    used_stamps = used_sources = 0
    source_number = np.full(n_sources, -1, np.int64)
    for t in range(n_stamps):
        if stamp_number[t] == 0:
            stamp_number[t] = used_stamps
            used_stamps += 1
            i, j = stamps[t]
            source_number[
                a_source[a[a_stamps + i * STAMP + 16]] if i >= 0 else b_source[b[b_stamps + j * STAMP + 16]]
            ] = 0
    size = HEAD + used_stamps * STAMP + CHECKSUM
    for q in range(n_sources):
        if source_number[q] == 0:
            source_number[q] = used_sources
            used_sources += 1
            size += _name_size(sources[q], a_sources, b_sources)
    if used_sources > MOST_SOURCES:
        return TOO_MANY_SOURCES, old
    width = stamp_width(used_stamps)
    for f in range(n_facts):
        row = b_facts[facts[f, 1]] if facts[f, 1] >= 0 else a_facts[facts[f, 0]]
        size += _name_size(facts[f], a_facts, b_facts) + width + 1 + row[FACT_END] - row[PAYLOAD]
    for s in range(n_series):
        months = MOST_MONTHS - shapes[s, 1]
        size += _name_size(series[s], a_series, b_series) + 4 + months * (width + (8 if shapes[s, 2] == EXACT else 2))
    if size > LARGEST:
        return TOO_LARGE, old

    record = np.empty(size, np.uint8)
    store(record, 0, 1, VERSION)
    store(record, 1, 1, used_sources)
    store(record, 2, 2, used_stamps)
    store(record, 4, 2, n_facts)
    store(record, 6, 2, n_series)
    at = store(record, 8, 8, revision)
    for q in range(n_sources):
        if source_number[q] >= 0:
            at = _write_name(record, at, sources[q], a, a_sources, b, b_sources)
    for t in range(n_stamps):
        if stamp_number[t] >= 0:
            i, j = stamps[t]
            if i >= 0:
                at = _copy(record, at, a, a_stamps + i * STAMP, a_stamps + (i + 1) * STAMP)
                record[at - 1] = source_number[a_source[record[at - 1]]]
            else:
                at = _copy(record, at, b, b_stamps + j * STAMP, b_stamps + (j + 1) * STAMP)
                record[at - 1] = source_number[b_source[record[at - 1]]]
    for f in range(n_facts):
        i, j = facts[f]
        at = _write_name(record, at, facts[f], a, a_facts, b, b_facts)
        data, row = (b, b_facts[j]) if j >= 0 else (a, a_facts[i])
        rank = b_rank[row[FACT_STAMP]] if j >= 0 else a_rank[row[FACT_STAMP]]
        at = store(record, at, width, stamp_number[rank])
        at = _copy(record, at, data, row[PAYLOAD] - 1, row[FACT_END])
    for s in range(n_series):
        oldest, first, scale = shapes[s]
        at = _write_name(record, at, series[s], a, a_series, b, b_series)
        at = store(record, at, 2, oldest + first)
        at = store(record, at, 1, MOST_MONTHS - first)
        for m in range(first, MOST_MONTHS):
            at = store(record, at, width, stamp_number[ranks[s, m]] if ranks[s, m] >= 0 else -1)
        at = store(record, at, 1, scale)
        for m in range(first, MOST_MONTHS):
            if scale == EXACT:
                at = store(record, at, 8, np.float64(values[s, m]).view(np.uint64))
            else:
                at = store(record, at, 2, _packed(values[s, m], scale))
    store(record, at, 4, checksum(record, 0, at))
    return CHANGED, record


@kernel
def _match(a, a_table, a_rows, b, b_table, b_rows, pairs):
    """Names of both, in order. pairs: int64[.., 2], written: rows of a and b with the name, -1 where there is none."""
    i = j = count = 0
    while i < a_rows or j < b_rows:
        order = 1 if i == a_rows else -1
        if i < a_rows and j < b_rows:
            order = compare(a, a_table[i, AT], a_table[i, END], b, b_table[j, AT], b_table[j, END])
        pairs[count, 0] = i if order <= 0 else -1
        pairs[count, 1] = j if order >= 0 else -1
        i += order <= 0
        j += order >= 0
        count += 1
    return count


@kernel
def _newest(data, row, least):
    """The newest month of a series with a value, `least` if that is later."""
    given = np.empty(row[MONTHS])
    read_months(data, row, 0, given)
    for m in range(row[MONTHS] - 1, -1, -1):
        if not np.isnan(given[m]):
            return max(least, row[FIRST] + m)
    return least


@kernel
def _put_months(data, row, width, rank, oldest, ranks, values):
    """Take over months of a series whose stamps are greater. ranks, values: of MOST_MONTHS months from `oldest`."""
    changed = False
    given = np.empty(row[MONTHS])
    read_months(data, row, 0, given)
    for m in range(row[MONTHS]):
        place = row[FIRST] + m - oldest
        stamp = known_stamp(data, row, m, width)
        if not 0 <= place < MOST_MONTHS or stamp < 0 or rank[stamp] <= ranks[place]:
            continue
        if not np.isnan(given[m]):
            ranks[place], values[place] = rank[stamp], given[m]
            changed = True
    return changed


@kernel
def _packed(value, scale):
    return NOTHING if np.isnan(value) else np.int64(np.rint(value * _POWERS[scale]))


@kernel
def _scale(values):
    """The smallest scale in which all values are the same to the last bit when they come back, or EXACT."""
    scale = 0
    largest = 0.0
    for value in values:
        if np.isnan(value):
            continue
        largest = max(largest, abs(value))
        if not largest <= LATEST:
            return EXACT
        bits = np.float64(value).view(np.uint64)
        while np.float64(_packed(value, scale) / _POWERS[scale]).view(np.uint64) != bits:
            scale += 1
            if scale == _POWERS.shape[0]:
                return EXACT
    return scale if np.rint(largest * _POWERS[scale]) <= LATEST else EXACT


@kernel
def _name_size(pair, a_table, b_table):
    row = a_table[pair[0]] if pair[0] >= 0 else b_table[pair[1]]
    return 1 + row[END] - row[AT]


@kernel
def _write_name(record, at, pair, a, a_table, b, b_table):
    data, row = (a, a_table[pair[0]]) if pair[0] >= 0 else (b, b_table[pair[1]])
    return _copy(record, at, data, row[AT] - 1, row[END])  # its length stands before it


@kernel
def _copy(record, at, data, start, end):
    for i in range(end - start):
        record[np.uint64(at + i)] = data[np.uint64(start + i)]
    return at + end - start
