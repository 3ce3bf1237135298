"""From the bytes of a stream to its messages, and what becomes of each: answered here, or handed to Python."""

from serving.jit import general, general_inlined
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import nghttp2_kernels as h2
from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.buffer_kernels import append, give_back
from serving.listeners.h2.callback_kernels import DONE, GRPC, NO_MEMORY, PATH, POST, TOO_LONG
from serving.listeners.h2.hand_kernels import hand_end, hand_message, hand_unary
from serving.listeners.h2.loop_state_kernels import connection_at, stream_at
from serving.listeners.h2.memory_kernels import copy, octets, words
from serving.listeners.h2.predict_kernels import ANSWERED, FEATURED, predict
from serving.listeners.h2.stream_kernels import KEPT_ROOM, PREFIX, begin_answer, finish, make_dirty, reset

MOST_UNSENT = 256 * 1024
"""Bytes of answers of a stream that its client does not take: then nothing more of it is read."""
RESERVE = 4
"""That part of rows and of memory is not for calls that wait for Python."""
CHECKED = 256
"""One more bit of HEADERS_SEEN."""


@general
def advance(loop, number):
    """Do what can be done for a stream now. False: something has to wait for room in the ring."""
    stream = stream_at(loop, number)
    if stream[at.STATE] != at.OPEN or stream[at.FINISHED] or stream[at.HEADERS_SEEN] & DONE == 0:
        return True
    if stream[at.HEADERS_SEEN] & CHECKED == 0 and not check_headers(loop, number, stream):
        return True
    if stream[at.HEADERS_SEEN] & NO_MEMORY:
        say(loop, number, at.NO_ROOM)
        return True
    method = words(loop[at.METHODS] + stream[at.METHOD_OF] * at.METHOD * 8, at.METHOD)
    kind, codec = method[at.METHOD_KIND], method[at.METHOD_CODEC]
    if kind == at.UNARY or kind == at.SERVER_STREAM:
        fine = advance_unary(loop, number, stream, codec)
    else:
        fine = advance_stream(loop, number, stream, codec)
    give_window(loop, stream)
    return fine


@general
def check_headers(loop, number, stream):
    """Whether the call may go on."""
    seen = stream[at.HEADERS_SEEN]
    stream[at.HEADERS_SEEN] |= CHECKED
    if seen & PATH == 0 or seen & POST == 0:
        reset(loop, number, h2.PROTOCOL_ERROR)
        return False
    if seen & GRPC == 0:
        stream[at.FINISHED] = stream[at.ANSWERING] = 1
        connection = connection_at(loop, stream[at.CONNECTION_OF])
        h2.submit_response(connection[at.SESSION], stream[at.ID], loop[at.HEADERS_REFUSED], 1, 0)
        make_dirty(loop, stream[at.CONNECTION_OF])
        return False
    if seen & TOO_LONG:
        say(loop, number, at.TOO_LONG_HEADERS)
        return False
    if stream[at.METHOD_OF] < 0:
        say(loop, number, at.UNKNOWN_METHOD)
        return False
    return True


@general
def say(loop, number, sentence):
    """End a call with one of the loop's own errors."""
    stream = stream_at(loop, number)
    said = words(loop[at.SAID], 2 * at.SENTENCES)
    size = said[2 * sentence + 1]
    stream[at.TRAILERS_SIZE] = 0
    if not append(loop, stream, at.TRAILERS, octets(said[2 * sentence], size), 0, size):
        reset(loop, number, h2.ENHANCE_YOUR_CALM)
        return
    if sentence == at.NO_ROOM:
        words(loop[at.COUNTED], count.COUNTS)[count.EXHAUSTED] += 1
    finish(loop, number)


@general_inlined
def head(stream):
    """(whether the prefix of the next message is there, whether it is compressed, its size)."""
    left = stream[at.BODY_SIZE] - stream[at.BODY_READ]
    if left < PREFIX:
        return False, 0, 0
    data, place = octets(stream[at.BODY], stream[at.BODY_SIZE]), stream[at.BODY_READ]
    size = 0
    for i in range(4):
        size = size << 8 | int(data[place + 1 + i])
    return True, int(data[place]), size


@general
def advance_unary(loop, number, stream, codec):
    """One message, and then the end of what the client sends."""
    if stream[at.TOLD]:
        return True
    there, compressed, size = head(stream)
    if there and size > loop[at.MAX_MESSAGE]:
        return hand_too_large(loop, number, size)
    if stream[at.ENDED] == 0:
        if there and stream[at.BODY_SIZE] > PREFIX + size:
            say(loop, number, at.NOT_ONE_MESSAGE)
        return True
    if not there or stream[at.BODY_SIZE] != PREFIX + size:
        say(loop, number, at.NOT_ONE_MESSAGE)
        return True
    if codec != at.NO_CODEC and compressed == 0 and stream[at.ASKED] != at.WHOLE and may_compute(loop, stream):
        outcome = predict(loop, number, codec, PREFIX, size, False)
        if outcome == ANSWERED:
            words(loop[at.COUNTED], count.COUNTS)[count.ANSWERED] += 1
            finish(loop, number)
            return True
        if outcome == FEATURED:
            return True
    flags = 0
    if compressed:
        flags = stream[at.COMPRESSION] if stream[at.COMPRESSION] else 4
    if not hand_unary(loop, number, flags, PREFIX, size):
        if may_wait(loop):
            return False
        say(loop, number, at.NO_ROOM)
        return True
    if stream[at.BODY_ROOM] > KEPT_ROOM:
        give_back(loop, stream, at.BODY)
        stream[at.CONSUMED] = 0
    return True


@general_inlined
def may_wait(loop):
    """Whether calls may stay for which the ring has no room: what others need of rows and memory is not theirs."""
    used, free = loop[at.MEMORY], loop[at.FREE_STREAM_COUNT]
    return RESERVE * (loop[at.MEMORY_LIMIT] - used) >= loop[at.MEMORY_LIMIT] and RESERVE * free >= loop[at.STREAM_COUNT]


@general_inlined
def may_compute(loop, stream):
    """Whether a message may be answered without Python."""
    if loop[at.HAND_ALL] or stream[at.PRIORITY] == at.OTHERWISE:
        return False
    return stream[at.DEADLINE] == 0 or loop[at.NOW] < stream[at.DEADLINE]


@general
def hand_too_large(loop, number, size):
    """Python says how large a message may be."""
    stream = stream_at(loop, number)
    if not hand_unary(loop, number, ring.TOO_LARGE | size << 8, 0, 0):
        say(loop, number, at.NO_ROOM)
        return True
    stream[at.BODY_READ] = stream[at.BODY_SIZE]
    return True


@general
def advance_stream(loop, number, stream, codec):
    """Message after message, as long as the client takes their answers."""
    fine = True
    while stream[at.FINISHED] == 0:
        if stream[at.WAITING] >= loop[at.MESSAGES] or stream[at.ANSWER_SIZE] - stream[at.ANSWER_SENT] > MOST_UNSENT:
            break
        there, compressed, size = head(stream)
        if there and size > loop[at.MAX_MESSAGE]:
            if stream[at.WAITING]:
                break  # what came before is answered first
            say(loop, number, at.TOO_LARGE_IN_STREAM)
            return True
        if not there or stream[at.BODY_SIZE] - stream[at.BODY_READ] < PREFIX + size:
            break
        place = stream[at.BODY_READ] + PREFIX
        here = codec != at.NO_CODEC and compressed == 0 and stream[at.WAITING] == 0 and may_compute(loop, stream)
        if here and predict(loop, number, codec, place, size, True) == ANSWERED:
            words(loop[at.COUNTED], count.COUNTS)[count.ANSWERED] += 1
            stream[at.BODY_READ] = place + size
            begin_answer(loop, number)
            continue
        flags = 0
        if compressed:
            flags = stream[at.COMPRESSION] if stream[at.COMPRESSION] else 4
        if not hand_message(loop, number, flags, place, size):
            fine = False
            break
        stream[at.BODY_READ] = place + size
    forget_read(stream)
    if stream[at.ENDED] and stream[at.FINISHED] == 0 and fine:
        there, _, size = head(stream)
        left = stream[at.BODY_SIZE] - stream[at.BODY_READ]
        if left and (not there or left < PREFIX + size):
            if stream[at.WAITING] == 0:
                say(loop, number, at.NOT_ONE_MESSAGE)
        elif left == 0:
            if stream[at.TOLD] or codec == at.NO_CODEC:
                if stream[at.END_TOLD] == 0:
                    fine = hand_end(loop, number)
            else:
                finish(loop, number)
    resting = stream[at.TOLD] == 0 and stream[at.FINISHED] == 0 and stream[at.WAITING] == 0
    if fine and resting and loop[at.DRAINING] == at.LEAVING:
        say(loop, number, at.SHUTTING_DOWN)
    return fine


@general_inlined
def forget_read(stream):
    """Move what is not read yet to the front, when it is little."""
    done, size = stream[at.BODY_READ], stream[at.BODY_SIZE]
    if done and (size - done <= done or done > 65536):
        data = octets(stream[at.BODY], size)
        copy(data, done, size - done, data, 0)
        stream[at.BODY_SIZE], stream[at.BODY_READ] = size - done, 0
        stream[at.CONSUMED] -= done


@general
def give_window(loop, stream):
    """Let the client send on: as much as was read, or all of a message that is longer than the window."""
    there, _, size = head(stream)
    whole = there and stream[at.BODY_SIZE] - stream[at.BODY_READ] >= PREFIX + size
    upto = stream[at.BODY_READ] if whole else stream[at.BODY_SIZE]
    if upto > stream[at.CONSUMED] and stream[at.STATE] == at.OPEN:
        connection = connection_at(loop, stream[at.CONNECTION_OF])
        h2.session_consume_stream(connection[at.SESSION], stream[at.ID], upto - stream[at.CONSUMED])
        stream[at.CONSUMED] = upto
        stream[at.MOVED] = loop[at.NOW]  # only now can the client send on
        make_dirty(loop, stream[at.CONNECTION_OF])
