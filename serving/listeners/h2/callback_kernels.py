"""What nghttp2 calls while it reads and writes. Callbacks only note what came: work is done by the loop afterwards."""

import numpy as np
from numba import types

from serving.jit import callback, general, general_inlined
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import nghttp2_kernels as h2
from serving.listeners.h2.buffer_kernels import append, room_for
from serving.listeners.h2.hand_kernels import tell_gone
from serving.listeners.h2.loop_state_kernels import stream_at
from serving.listeners.h2.memory_kernels import copy, ints, octets, same, words
from serving.listeners.h2.stream_kernels import close_stream, keep_until_told, make_ready, open_stream, submit_trailers

_I, _A, _U, _B = types.int32, types.int64, types.uint32, types.uint8

FRAME, HEADERS_FRAME = 16, 64
"""Bytes of nghttp2_frame_hd, and of nghttp2_headers: category at 56."""
MOST_EMPTY = 1000
"""DATA frames without data, of one connection, in a row."""

GRPC, POST, PATH = 1, 2, 4
"""Bits of HEADERS_SEEN: content-type is gRPC's; method is POST; a path."""


@general_inlined
def _loop_of(connection):
    return words(connection[at.OWNER], at.LOOP)


@general_inlined
def _number_of(loop, address):
    return (address - loop[at.CONNECTIONS]) // (at.CONNECTION * 8)


@callback(_I(_A, _A, _A))
def on_begin_frame(session, head, owner):
    connection = words(owner, at.CONNECTION)
    frame = octets(head, FRAME)
    kind = frame[12]
    if kind == h2.CONTINUATION:
        connection[at.CONTINUED] += 1
        connection[at.HEADER_BYTES] += words(head, 1)[0]
        loop = _loop_of(connection)
        if connection[at.HEADER_BYTES] > 4 * loop[at.MAX_HEADERS] or connection[at.CONTINUED] > 8:
            words(loop[at.COUNTED], count.COUNTS)[count.FLOODS] += 1
            connection[at.CLOSING] = 2
            h2.session_terminate_session(session, h2.ENHANCE_YOUR_CALM)
            return h2.CALLBACK_FAILURE
    elif kind == h2.HEADERS:
        connection[at.CONTINUED], connection[at.HEADER_BYTES] = 0, words(head, 1)[0]
    return 0


@callback(_I(_A, _A, _A))
def on_begin_headers(session, frame, owner):
    connection = words(owner, at.CONNECTION)
    loop = _loop_of(connection)
    identifier = ints(frame, 4)[2]
    if ints(frame, 16)[14] != h2.REQUEST:
        return 0
    number = open_stream(loop, _number_of(loop, owner), identifier)
    if number < 0:
        words(loop[at.COUNTED], count.COUNTS)[count.STREAMS_REFUSED] += 1
        h2.submit_rst_stream(session, 0, identifier, h2.REFUSED_STREAM)
        return 0
    h2.session_set_stream_user_data(session, identifier, number + 1)
    return 0


@callback(_I(_A, _A, _A, _A, _A, _A, _B, _A))
def on_header(session, frame, name, name_size, value, value_size, flags, owner):
    connection = words(owner, at.CONNECTION)
    number = h2.session_get_stream_user_data(session, ints(frame, 4)[2]) - 1
    if number < 0:
        return 0
    loop = _loop_of(connection)
    stream = stream_at(loop, number)
    connection[at.HEADER_BYTES] += name_size + value_size + 32
    if connection[at.HEADER_BYTES] > 2 * loop[at.MAX_HEADERS]:
        stream[at.HEADERS_SEEN] |= TOO_LONG
        return 0
    if stream[at.HEADERS_SEEN] & DONE:
        return 0
    take_header(loop, stream, octets(name, name_size), name_size, octets(value, value_size), value_size)
    return 0


TOO_LONG, DONE = 32, 64
"""More bits of HEADERS_SEEN: more headers than are taken; the header block is complete: trailers follow."""


def _text(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8).copy()


_METHOD, _PATH, _TYPE, _TIMEOUT = _text(b":method"), _text(b":path"), _text(b"content-type"), _text(b"grpc-timeout")
_ENCODING, _PRIORITY, _TOKEN = _text(b"grpc-encoding"), _text(b"epm-priority"), _text(b"authorization")
_POST, _GRPC, _IDENTITY, _GZIP = _text(b"POST"), _text(b"application/grpc"), _text(b"identity"), _text(b"gzip")
_DEFLATE, _NORMAL, _LOW = _text(b"deflate"), _text(b"normal"), _text(b"low")


@general_inlined
def is_text(text, size, expected):
    """Whether text[:size] is that."""
    return size == expected.size and same(text, 0, expected, 0, size)


@general
def take_header(loop, stream, name, name_size, value, value_size):
    """Note what a header says, if it is one that counts."""
    if name_size == 0:
        return
    if is_text(name, name_size, _PATH):
        stream[at.METHOD_OF] = method_of(loop, value, value_size)
        stream[at.HEADERS_SEEN] |= PATH
    elif is_text(name, name_size, _METHOD):
        if is_text(value, value_size, _POST):
            stream[at.HEADERS_SEEN] |= POST
    elif is_text(name, name_size, _TYPE):
        if is_grpc(value, value_size):
            stream[at.HEADERS_SEEN] |= GRPC
    elif is_text(name, name_size, _TIMEOUT):
        stream[at.DEADLINE] = deadline(loop[at.NOW], value, value_size)
    elif is_text(name, name_size, _ENCODING):
        if is_text(value, value_size, _IDENTITY):
            stream[at.COMPRESSION] = 0
        elif is_text(value, value_size, _GZIP):
            stream[at.COMPRESSION] = 1
        elif is_text(value, value_size, _DEFLATE):
            stream[at.COMPRESSION] = 2
        else:
            stream[at.COMPRESSION] = 3
    elif is_text(name, name_size, _PRIORITY):
        if stream[at.PRIORITY] == at.UNSAID:
            stream[at.PRIORITY] = at.OTHERWISE
            if value_size == 0 or is_text(value, value_size, _NORMAL):
                stream[at.PRIORITY] = at.PLAINLY_SAID
            elif is_text(value, value_size, _LOW):
                stream[at.PRIORITY] = at.SAID_LOW
            keep_pair(loop, stream, name, name_size, value, value_size)
    elif is_text(name, name_size, _TOKEN):
        keep_pair(loop, stream, name, name_size, value, value_size)


@general_inlined
def is_grpc(text, size):
    """Whether a content type is application/grpc, alone or before a + or a ;."""
    if size < _GRPC.size or not same(text, 0, _GRPC, 0, _GRPC.size):
        return False
    return size == _GRPC.size or text[_GRPC.size] == 43 or text[_GRPC.size] == 59


@general
def keep_pair(loop, stream, name, name_size, value, value_size):
    """Keep a header for Python."""
    pair = np.empty(8 + name_size + value_size, np.uint8)
    for i in range(4):
        pair[i], pair[4 + i] = (name_size >> (8 * i)) & 255, (value_size >> (8 * i)) & 255
    copy(name, 0, name_size, pair, 8)
    copy(value, 0, value_size, pair, 8 + name_size)
    if not append(loop, stream, at.METADATA, pair, 0, pair.size):
        stream[at.HEADERS_SEEN] |= NO_MEMORY


@general
def method_of(loop, path, size):
    """The number of the method of this path; -1 for none."""
    for number in range(loop[at.METHOD_COUNT]):
        method = words(loop[at.METHODS] + number * at.METHOD * 8, at.METHOD)
        if method[at.METHOD_PATH_SIZE] == size and same(octets(method[at.METHOD_PATH], size), 0, path, 0, size):
            return number
    return -1


@general
def deadline(now, text, size):
    """The moment that a grpc-timeout names, in nanoseconds; 0 where it is none. 1 to 8 digits and a unit."""
    if size < 2 or size > 9:
        return 0
    value = 0
    for i in range(size - 1):
        digit = int(text[i]) - 48
        if digit < 0 or digit > 9:
            return 0
        value = value * 10 + digit
    unit = text[size - 1]
    if unit == 110:
        scale = 1
    elif unit == 117:
        scale = 1000
    elif unit == 109:
        scale = 1000000
    elif unit == 83:
        scale = 1000000000
    elif unit == 77:
        scale = 60 * 1000000000
    elif unit == 72:
        scale = 3600 * 1000000000
    else:
        return 0
    if value > (1 << 60) // scale:
        return 1 << 62
    return now + value * scale


@callback(_I(_A, _B, _I, _A, _A, _A))
def on_data(session, flags, identifier, data, size, owner):
    connection = words(owner, at.CONNECTION)
    h2.session_consume_connection(session, size)
    number = h2.session_get_stream_user_data(session, identifier) - 1
    if number < 0:
        h2.session_consume_stream(session, identifier, size)
        return 0
    loop = _loop_of(connection)
    stream = stream_at(loop, number)
    connection[at.EMPTY_FRAMES] = 0
    stream[at.MOVED] = loop[at.NOW]
    if stream[at.FINISHED]:
        h2.session_consume_stream(session, identifier, size)
        return 0
    if not expect(loop, stream, octets(data, size)) or not append(loop, stream, at.BODY, octets(data, size), 0, size):
        words(loop[at.COUNTED], count.COUNTS)[count.EXHAUSTED] += 1
        stream[at.HEADERS_SEEN] |= NO_MEMORY
    make_ready(loop, number)
    return 0


@general
def expect(loop, stream, data):
    """Make room at once for all of a first message that says that it is not a large one; False for no memory."""
    if stream[at.BODY_SIZE] or data.size < 5 or data[1] or data[2]:
        return True
    size = 5 + (int(data[3]) << 8 | int(data[4]))
    return size <= data.size or room_for(loop, stream, at.BODY, size)


NO_MEMORY = 128
"""One more bit of HEADERS_SEEN: what came could not be kept."""


@callback(_I(_A, _A, _A))
def on_frame(session, frame, owner):
    connection = words(owner, at.CONNECTION)
    head = octets(frame, FRAME)
    kind, flags, identifier = head[12], head[13], ints(frame, 4)[2]
    loop = _loop_of(connection)
    connection[at.GREETED] = 1
    if kind == h2.DATA or kind == h2.HEADERS:
        if kind == h2.DATA and words(frame, 1)[0] == 0 and flags & h2.END_STREAM == 0:
            connection[at.EMPTY_FRAMES] += 1
            if connection[at.EMPTY_FRAMES] > MOST_EMPTY:
                words(loop[at.COUNTED], count.COUNTS)[count.FLOODS] += 1
                connection[at.CLOSING] = 2
                h2.session_terminate_session(session, h2.ENHANCE_YOUR_CALM)
        number = h2.session_get_stream_user_data(session, identifier) - 1
        if number >= 0:
            stream = stream_at(loop, number)
            stream[at.HEADERS_SEEN] |= DONE
            if flags & h2.END_STREAM:
                stream[at.ENDED] = 1
            make_ready(loop, number)
    elif kind == h2.PING and flags & h2.ACK:
        connection[at.PINGED] = 0
        if connection[at.NOTICED_AT] and words(frame + FRAME, 1)[0] == h2.NOTICE:
            connection[at.NOTICED_AT] = at.HEARD
    elif kind == h2.RST_STREAM:
        note_reset(loop, connection, session)
    return 0


@callback(_I(_A, _A, _A))
def on_sent(session, frame, owner):
    """Behind a complete answer: what the client has not sent yet it need not send, and the row is free.

    Behind the notice of a shutdown: a PING (submitted together with it, nghttp2 would send it first).
    """
    head = octets(frame, FRAME)
    if head[12] == h2.GOAWAY:
        connection = words(owner, at.CONNECTION)
        if connection[at.NOTICED_AT]:
            mark = _loop_of(connection)[at.SMALL]
            words(mark, 1)[0] = h2.NOTICE
            h2.submit_ping(session, 0, mark)
    elif head[12] == h2.HEADERS and head[13] & h2.END_STREAM:
        identifier = ints(frame, 4)[2]
        number = h2.session_get_stream_user_data(session, identifier) - 1
        if number >= 0 and stream_at(_loop_of(words(owner, at.CONNECTION)), number)[at.ENDED] == 0:
            h2.submit_rst_stream(session, 0, identifier, h2.NO_ERROR)
    return 0


@general
def note_reset(loop, connection, session):
    """The client reset a stream: as many as `MOST_RESETS` in a burst, and so many a second after it, are usual."""
    counted = words(loop[at.COUNTED], count.COUNTS)
    counted[count.STREAMS_RESET] += 1
    connection[at.RESETS] += 1
    passed = loop[at.NOW] - connection[at.RESETS_SINCE]
    forgiven = passed * RESETS_A_SECOND // 1000000000
    if forgiven > 0:
        connection[at.RESETS] = max(0, connection[at.RESETS] - forgiven)
        connection[at.RESETS_SINCE] = loop[at.NOW]
    if connection[at.RESETS] > MOST_RESETS and connection[at.CLOSING] < 2:
        connection[at.CLOSING] = 2
        counted[count.FLOODS] += 1
        h2.session_terminate_session(session, h2.ENHANCE_YOUR_CALM)


MOST_RESETS, RESETS_A_SECOND = 1000, 200


@callback(_I(_A, _I, _U, _A))
def on_close(session, identifier, code, owner):
    connection = words(owner, at.CONNECTION)
    number = h2.session_get_stream_user_data(session, identifier) - 1
    if number < 0:
        return 0
    loop = _loop_of(connection)
    stream = stream_at(loop, number)
    h2.session_set_stream_user_data(session, identifier, 0)
    if stream[at.TOLD] and not tell_gone(loop, number):
        keep_until_told(loop, number)
        return 0
    close_stream(loop, number)
    return 0


@callback(_A(_A, _I, _A, _A, _A, _A, _A))
def on_read(session, identifier, out, size, flags, source, owner):
    connection = words(owner, at.CONNECTION)
    number = h2.session_get_stream_user_data(session, identifier) - 1
    if number < 0:
        return h2.TEMPORAL_FAILURE
    loop = _loop_of(connection)
    stream = stream_at(loop, number)
    left = stream[at.ANSWER_SIZE] - stream[at.ANSWER_SENT]
    count_ = min(left, size)
    if count_ > 0:
        copy(octets(stream[at.ANSWER], stream[at.ANSWER_SIZE]), stream[at.ANSWER_SENT], count_, octets(out, size), 0)
        stream[at.ANSWER_SENT] += count_
        stream[at.MOVED] = loop[at.NOW]
        if count_ == left:
            stream[at.ANSWER_SIZE] = stream[at.ANSWER_SENT] = 0
            if stream[at.ENDED] == 0 or stream[at.BODY_SIZE]:
                make_ready(loop, number)  # it may read on
    if count_ == left and stream[at.FINISHED]:
        ints(flags, 1)[0] |= h2.DATA_EOF | h2.DATA_NO_END_STREAM
        submit_trailers(loop, stream, session)
        return count_
    if count_ == 0:
        stream[at.DEFERRED_DATA] = 1
        return h2.DEFERRED
    return count_
