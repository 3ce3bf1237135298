"""A stream's life, but for the messages: its row, its answer, its end."""

from serving.jit import general, general_inlined
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import nghttp2_kernels as h2
from serving.listeners.h2.buffer_kernels import append, give_back, room_for
from serving.listeners.h2.loop_state_kernels import connection_at, stream_at
from serving.listeners.h2.memory_kernels import octets, words
from serving.listeners.h2.wire_kernels import fixed

PREFIX = 5
"""Bytes before a message of gRPC: whether it is compressed, and its size, big-endian."""
NV = 5
"""Words of nghttp2_nv: addresses of name and value, their sizes, flags."""
MOST_TRAILERS = 8
KEPT_ROOM = 16384
"""What a row keeps of memory for its next stream, as long as no more than this part of the loop's bound is in use."""
KEPT_SHARE = 4


@general
def open_stream(loop, connection_number, identifier):
    """A row for a new stream; -1 where there is none."""
    left = loop[at.FREE_STREAM_COUNT]
    if left == 0:
        return -1
    loop[at.FREE_STREAM_COUNT] = left - 1
    number = words(loop[at.FREE_STREAMS], loop[at.STREAM_COUNT])[left - 1]
    stream = stream_at(loop, number)
    body, body_room = stream[at.BODY], stream[at.BODY_ROOM]
    answer, answer_room, ready = stream[at.ANSWER], stream[at.ANSWER_ROOM], stream[at.IS_READY]
    stream[:] = 0
    stream[at.BODY], stream[at.BODY_ROOM] = body, body_room
    stream[at.ANSWER], stream[at.ANSWER_ROOM], stream[at.IS_READY] = answer, answer_room, ready
    stream[at.STATE], stream[at.CONNECTION_OF], stream[at.ID] = at.OPEN, connection_number, identifier
    loop[at.NEXT_GENERATION] += 1
    stream[at.GENERATION], stream[at.METHOD_OF] = loop[at.NEXT_GENERATION], -1
    stream[at.BEGAN] = stream[at.MOVED] = loop[at.NOW]
    connection_at(loop, connection_number)[at.CALLS] += 1
    words(loop[at.COUNTED], count.COUNTS)[count.STREAMS_OPENED] += 1
    return number


@general
def close_stream(loop, number):
    """Its row is free."""
    stream = stream_at(loop, number)
    if stream[at.STATE] == at.FREE:
        return
    for where in (at.BODY, at.ANSWER):
        if stream[where + 1] > KEPT_ROOM or loop[at.MEMORY] > loop[at.MEMORY_LIMIT] // KEPT_SHARE:
            give_back(loop, stream, where)
    give_back(loop, stream, at.TRAILERS)
    give_back(loop, stream, at.METADATA)
    if stream[at.STATE] == at.OPEN:
        connection_at(loop, stream[at.CONNECTION_OF])[at.CALLS] -= 1
    stream[at.STATE] = at.FREE
    left = loop[at.FREE_STREAM_COUNT]
    words(loop[at.FREE_STREAMS], loop[at.STREAM_COUNT])[left] = number
    loop[at.FREE_STREAM_COUNT] = left + 1
    words(loop[at.COUNTED], count.COUNTS)[count.STREAMS_CLOSED] += 1


@general
def keep_until_told(loop, number):
    """Its connection has done with it; the row is kept until Python has been told so."""
    stream = stream_at(loop, number)
    stream[at.STATE] = at.CLOSED
    connection_at(loop, stream[at.CONNECTION_OF])[at.CALLS] -= 1


@general_inlined
def make_ready(loop, number):
    """Something can be done for a stream."""
    stream = stream_at(loop, number)
    if stream[at.IS_READY] == 0 and loop[at.READY_COUNT] < loop[at.STREAM_COUNT]:
        stream[at.IS_READY] = 1
        ready = words(loop[at.READY], loop[at.STREAM_COUNT])
        ready[loop[at.READY_COUNT]] = number
        loop[at.READY_COUNT] += 1


@general_inlined
def make_dirty(loop, number):
    """A connection may have something to send."""
    connection = connection_at(loop, number)
    if connection[at.IS_DIRTY] == 0:
        connection[at.IS_DIRTY] = 1
        dirty = words(loop[at.DIRTY], loop[at.CONNECTION_COUNT])
        dirty[loop[at.DIRTY_COUNT]] = number
        loop[at.DIRTY_COUNT] += 1


@general
def begin_answer(loop, number):
    """Headers, and data as far as there are any, are on their way from now on."""
    stream = stream_at(loop, number)
    connection = connection_at(loop, stream[at.CONNECTION_OF])
    if stream[at.ANSWERING] == 0:
        stream[at.ANSWERING] = 1
        h2.submit_response(connection[at.SESSION], stream[at.ID], loop[at.HEADERS_OK], 2, loop[at.PROVIDER])
    elif stream[at.DEFERRED_DATA]:
        stream[at.DEFERRED_DATA] = 0
        h2.session_resume_data(connection[at.SESSION], stream[at.ID])
    make_dirty(loop, stream[at.CONNECTION_OF])


@general
def add_answer(loop, stream, source, start, size):
    """One more message of the answer; False where there is no memory."""
    if not room_for(loop, stream, at.ANSWER, PREFIX + size):
        return False
    prefix(stream, size)
    return append(loop, stream, at.ANSWER, source, start, size)


@general_inlined
def prefix(stream, size):
    """The prefix of a message for which there is room."""
    out, place = octets(stream[at.ANSWER], stream[at.ANSWER_ROOM]), stream[at.ANSWER_SIZE]
    out[place] = 0
    for i in range(4):
        out[place + 1 + i] = (size >> (24 - 8 * i)) & 255
    stream[at.ANSWER_SIZE] = place + PREFIX


@general
def finish(loop, number):
    """Nothing more is answered: what there is leaves, then the trailers."""
    stream = stream_at(loop, number)
    stream[at.FINISHED] = 1
    stream[at.MOVED] = loop[at.NOW]
    if stream[at.ANSWERING] == 0 and stream[at.ANSWER_SIZE] == 0 and stream[at.TRAILERS]:
        stream[at.ANSWERING] = 1
        connection = connection_at(loop, stream[at.CONNECTION_OF])
        pairs = words(loop[at.SMALL], NV * (MOST_TRAILERS + 2))
        headers = words(loop[at.HEADERS_OK], 2 * NV)
        for i in range(2 * NV):
            pairs[i] = headers[i]
        n = 2 + trailers_of(stream, pairs, 2)
        h2.submit_response(connection[at.SESSION], stream[at.ID], loop[at.SMALL], n, 0)
        make_dirty(loop, stream[at.CONNECTION_OF])
        return
    begin_answer(loop, number)


@general
def trailers_of(stream, pairs, first):
    """Write a stream's trailers as nghttp2_nv from pairs[first * NV] on; how many there are."""
    size = stream[at.TRAILERS_SIZE]
    data = octets(stream[at.TRAILERS], size)
    place = found = 0
    while found < MOST_TRAILERS and size - place >= 8:
        name, value = int(fixed(data, place, 4)), int(fixed(data, place + 4, 4))
        place += 8
        if name + value > size - place or name == 0:
            break
        pair = (first + found) * NV
        pairs[pair], pairs[pair + 1] = stream[at.TRAILERS] + place, stream[at.TRAILERS] + place + name
        pairs[pair + 2], pairs[pair + 3], pairs[pair + 4] = name, value, h2.NO_INDEX
        place += name + value
        found += 1
    return found


@general
def submit_trailers(loop, stream, session):
    """After the last data."""
    if stream[at.TRAILERS]:
        pairs = words(loop[at.SMALL], NV * (MOST_TRAILERS + 2))
        n = trailers_of(stream, pairs, 0)
        h2.submit_trailer(session, stream[at.ID], loop[at.SMALL], n)
    else:
        h2.submit_trailer(session, stream[at.ID], loop[at.TRAILERS_OK], 1)


@general
def reset(loop, number, code):
    """End a stream with RST_STREAM; its row is free when nghttp2 says so."""
    stream = stream_at(loop, number)
    connection = connection_at(loop, stream[at.CONNECTION_OF])
    h2.submit_rst_stream(connection[at.SESSION], 0, stream[at.ID], code)
    stream[at.FINISHED] = 1
    make_dirty(loop, stream[at.CONNECTION_OF])
