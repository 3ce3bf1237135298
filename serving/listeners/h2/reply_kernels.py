"""What Python says, taken from the ring."""

from serving.jit import general
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import nghttp2_kernels as h2
from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.buffer_kernels import append
from serving.listeners.h2.loop_state_kernels import stream_at
from serving.listeners.h2.memory_kernels import octets, words
from serving.listeners.h2.message_kernels import say
from serving.listeners.h2.predict_kernels import with_outputs
from serving.listeners.h2.stream_kernels import add_answer, begin_answer, finish, make_ready, reset
from serving.shared_kernels import acquire, release


@general
def take_replies(loop):
    """All that Python has said since."""
    address = loop[at.FROM_PYTHON]
    from_python = words(address, ring.RING)
    done, written = from_python[ring.DONE], acquire(address + 8 * ring.WRITTEN)
    while done < written:
        place = from_python[ring.DATA] + done % from_python[ring.SIZE]
        record = words(place, 2)
        size, kind = record[ring.BYTES], record[ring.KIND]
        if kind != ring.SKIP:
            take_reply(loop, words(place, ring.REPLY), octets(place + 8 * ring.REPLY, size - 8 * ring.REPLY))
        done += size
        release(address + 8 * ring.DONE, done)


@general
def take_reply(loop, record, data):
    """One record. Its stream may be gone, and another one in its row."""
    number = record[ring.STREAM]
    if number < 0 or number >= loop[at.STREAM_COUNT]:
        return
    stream = stream_at(loop, number)
    if stream[at.STATE] != at.OPEN or stream[at.GENERATION] != record[ring.GENERATION] or stream[at.FINISHED]:
        words(loop[at.COUNTED], count.COUNTS)[count.DROPPED] += 1
        return
    kind, size = record[ring.KIND], record[ring.MESSAGE_BYTES]
    if kind == ring.TAKEN:
        stream[at.WAITING] -= 1
        make_ready(loop, number)
    elif kind == ring.ANSWER:
        stream[at.WAITING] = max(0, stream[at.WAITING] - record[ring.STATUS])
        if not add_answer(loop, stream, data, 0, size):
            say(loop, number, at.NO_ROOM)
            return
        begin_answer(loop, number)
        make_ready(loop, number)
    elif kind == ring.FINISH:
        stream[at.WAITING] = stream[at.TOLD] = 0
        if size >= 0 and not add_answer(loop, stream, data, 0, size):
            say(loop, number, at.NO_ROOM)
            return
        trailers = record[ring.TRAILERS]
        if trailers and not append(loop, stream, at.TRAILERS, data, max(size, 0), trailers):
            reset(loop, number, h2.ENHANCE_YOUR_CALM)
            return
        finish(loop, number)
    else:
        with_outputs(loop, number, record, data)
