"""The event loop of one thread: sockets, sessions, streams, timers. Without the GIL, until it is told to stop."""

from serving.jit import general, general_inlined
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import libc_kernels as c
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import nghttp2_kernels as h2
from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.buffer_kernels import append, give_back
from serving.listeners.h2.callback_kernels import DONE
from serving.listeners.h2.hand_kernels import tell_gone, wake_python
from serving.listeners.h2.loop_state_kernels import connection_at, stream_at
from serving.listeners.h2.memory_kernels import copy, ints, octets, words
from serving.listeners.h2.message_kernels import advance, head
from serving.listeners.h2.reply_kernels import take_replies
from serving.listeners.h2.stream_kernels import PREFIX, close_stream, keep_until_told, make_dirty, make_ready, reset
from serving.shared_kernels import acquire, release

LISTENING, WOKEN = -1, -2
"""What epoll says instead of a connection's number."""
SWEEP_EVERY = 100_000_000
"""Nanoseconds between two looks at all connections."""
READS = 4
"""Times that a connection is read from before others have their turn."""
NOTICE_TIME = 5 * c.SECOND
"""How long a client is waited for that is told to call elsewhere, and does not answer the PING that goes with it."""
LINGER = 2 * c.SECOND
"""How long a client may say nothing that has taken everything, and does not close the connection."""
CONNECTION_WINDOW = 16
"""How many windows of a stream all streams of a connection may send together, unread."""


@general
def run(address):
    """Serve until SEEN says so. address: of int64[LOOP]. Returns the number of connections that were cut off."""
    loop = words(address, at.LOOP)
    counted = words(loop[at.COUNTED], count.COUNTS)
    loop[at.NOW] = c.clock(loop[at.SMALL])
    waiting = 0
    while True:
        timeout = 0 if loop[at.READY_COUNT] > waiting else 1 if waiting else 50 if loop[at.DRAINING] else 250
        n = c.epoll_wait(loop[at.EPOLL], loop[at.EVENTS], loop[at.EVENT_COUNT], timeout)
        counted[count.TURNS] += 1
        loop[at.NOW] = c.clock(loop[at.SMALL])
        shared = loop[at.TABLE_ADDRESS]
        epoch = acquire(shared + 8 * at.SHARED_EPOCH)
        loop[at.TABLE] = acquire(shared + 8 * at.SHARED_TABLE)
        release(address + 8 * at.SEEN, epoch)
        events = ints(loop[at.EVENTS], 3 * loop[at.EVENT_COUNT])
        accepting = False
        for i in range(n):
            number = events[3 * i + 1]
            if number == LISTENING:
                accepting = True
            elif number == WOKEN:
                c.read(loop[at.WAKE], loop[at.SMALL], 8)
            else:
                served(loop, number, events[3 * i], events[3 * i + 2])
        take_replies(loop)
        waiting = work(loop)
        flush_all(loop)
        if accepting:
            accept(loop)
        if loop[at.NOW] - loop[at.SWEPT] > SWEEP_EVERY:
            loop[at.SWEPT] = loop[at.NOW]
            waiting += sweep(loop)
            waiting += work(loop)
            flush_all(loop)
        wake_python(loop)
        stop = acquire(address + 8 * at.STOP)
        if stop and drained(loop, stop):
            return close_all(loop)


@general
def accept(loop):
    """Take the connections that wait, as many as there is room for."""
    counted = words(loop[at.COUNTED], count.COUNTS)
    for _ in range(64):
        if loop[at.LISTENER] < 0:
            return
        fd = c.accept4(loop[at.LISTENER], 0, 0, c.SOCK_NONBLOCK | c.SOCK_CLOEXEC)
        if fd < 0:
            wrong = c.error_number()
            if wrong == c.EMFILE or wrong == c.ENFILE:
                listen(loop, 0)  # until the next sweep: epoll would tell of those that wait again and again
            return
        counted[count.ACCEPTED] += 1
        if loop[at.FREE_CONNECTION_COUNT] == 0 or not open_connection(loop, fd):
            counted[count.REFUSED_CONNECTIONS] += 1
            c.close(fd)


@general
def listen(loop, what):
    """Have epoll tell of new connections (EPOLLIN), or not (0)."""
    event = ints(loop[at.SMALL], 3)
    event[0], event[1], event[2] = what, LISTENING, 0
    c.epoll_ctl(loop[at.EPOLL], c.EPOLL_CTL_MOD, loop[at.LISTENER], loop[at.SMALL])


@general
def open_connection(loop, fd):
    """A row, a session and epoll's eye for a socket."""
    left = loop[at.FREE_CONNECTION_COUNT] - 1
    number = words(loop[at.FREE_CONNECTIONS], loop[at.CONNECTION_COUNT])[left]
    connection = connection_at(loop, number)
    generation, dirty = connection[at.WIRE_GENERATION], connection[at.IS_DIRTY]
    connection[:] = 0
    connection[at.WIRE_GENERATION], connection[at.IS_DIRTY] = (generation + 1) & 0x7FFFFFFF, dirty
    connection[at.FD], connection[at.OWNER] = fd, loop[at.SELF]
    connection[at.OPENED] = connection[at.LAST] = connection[at.RESETS_SINCE] = loop[at.NOW]
    small = words(loop[at.SMALL], 4)
    small[0] = 1
    c.setsockopt(fd, c.IPPROTO_TCP, c.TCP_NODELAY, loop[at.SMALL], 4)
    address = loop[at.CONNECTIONS] + number * at.CONNECTION * 8
    if h2.session_server_new2(loop[at.SMALL], loop[at.CALLBACKS], address, loop[at.OPTIONS]) != 0:
        connection[at.FD] = -1
        return False
    connection[at.SESSION] = small[0]
    h2.submit_settings(connection[at.SESSION], 0, loop[at.SETTINGS], loop[at.SETTINGS_COUNT])
    h2.session_set_local_window_size(connection[at.SESSION], 0, 0, CONNECTION_WINDOW * loop[at.WINDOW])
    if not watch(loop, number, c.EPOLL_CTL_ADD, False):
        h2.session_del(connection[at.SESSION])
        connection[at.FD], connection[at.SESSION] = -1, 0
        return False
    loop[at.FREE_CONNECTION_COUNT] = left
    make_dirty(loop, number)
    return True


@general
def watch(loop, number, how, writing):
    """Have epoll tell when there is something to read, and, if `writing`, room to write."""
    connection = connection_at(loop, number)
    event = ints(loop[at.SMALL], 3)
    event[0] = c.EPOLLIN | c.EPOLLRDHUP | (c.EPOLLOUT if writing else 0)
    event[1], event[2] = number, connection[at.WIRE_GENERATION]
    connection[at.WRITING] = writing
    return c.epoll_ctl(loop[at.EPOLL], how, connection[at.FD], loop[at.SMALL]) == 0


@general
def served(loop, number, what, generation):
    """What epoll told of a connection."""
    connection = connection_at(loop, number)
    if connection[at.FD] < 0 or connection[at.WIRE_GENERATION] != generation:
        return
    if what & c.EPOLLOUT:
        make_dirty(loop, number)
    if what & (c.EPOLLIN | c.EPOLLERR | c.EPOLLHUP | c.EPOLLRDHUP) and not receive(loop, number):
        close_connection(loop, number)


@general
def receive(loop, number):
    """Read what came and give it to the session; False when the connection is to be closed."""
    connection = connection_at(loop, number)
    counted = words(loop[at.COUNTED], count.COUNTS)
    for _ in range(READS):
        n = c.recv(connection[at.FD], loop[at.BUFFER], loop[at.BUFFER_SIZE], 0)
        if n < 0:
            wrong = c.error_number()
            return wrong == c.EAGAIN or wrong == c.EINTR
        if n == 0:
            return False
        connection[at.LAST] = loop[at.NOW]
        if connection[at.LEFT]:
            connection[at.AFTERWARDS] += n
            return connection[at.AFTERWARDS] <= CONNECTION_WINDOW * loop[at.WINDOW]
        connection[at.PINGED] = 0
        counted[count.RECEIVED] += n
        taken = h2.session_mem_recv(connection[at.SESSION], loop[at.BUFFER], n)
        make_dirty(loop, number)
        if taken < 0:
            counted[count.PROTOCOL_ERRORS] += 1
            if not flush(loop, number):  # a GOAWAY tells why
                return False
            leave(loop, number)
            return True
        if n < loop[at.BUFFER_SIZE]:
            return True
    return True


@general
def work(loop):
    """Go on with all streams that are ready; how many have to wait for room in the ring.

    Those that wait already are tried when Python has read on, until one of them finds no room again.
    """
    ready = words(loop[at.READY], loop[at.STREAM_COUNT])
    read = acquire(loop[at.TO_PYTHON] + 8 * ring.DONE)
    room = read != loop[at.STUCK_AT]
    waiting = i = 0
    while i < loop[at.READY_COUNT]:
        number = ready[i]
        stream = stream_at(loop, number)
        i += 1
        if room or stream[at.WAITS] == 0:
            stream[at.IS_READY] = stream[at.WAITS] = 0
            if advance(loop, number):
                continue
            stream[at.IS_READY] = stream[at.WAITS] = 1
            loop[at.STUCK_AT], room = read, False
        ready[waiting] = number
        waiting += 1
    loop[at.READY_COUNT] = waiting
    return waiting


@general
def flush_all(loop):
    """Send what there is to send."""
    dirty = words(loop[at.DIRTY], loop[at.CONNECTION_COUNT])
    i = 0
    while i < loop[at.DIRTY_COUNT]:
        number = dirty[i]
        i += 1
        connection = connection_at(loop, number)
        connection[at.IS_DIRTY] = 0
        if connection[at.FD] >= 0 and connection[at.LEFT] == 0 and not flush(loop, number):
            close_connection(loop, number)
    loop[at.DIRTY_COUNT] = 0


@general
def flush(loop, number):
    """Send as much as the socket takes; False when the connection is broken. One that has ended is left."""
    connection = connection_at(loop, number)
    if connection[at.PENDING_BYTES]:
        sent = send(
            loop,
            connection,
            connection[at.PENDING] + connection[at.PENDING_SENT],
            connection[at.PENDING_BYTES] - connection[at.PENDING_SENT],
        )
        if sent < 0:
            return False
        connection[at.PENDING_SENT] += sent
        if connection[at.PENDING_SENT] < connection[at.PENDING_BYTES]:
            return stalled(loop, number, sent)
        give_back(loop, connection, at.PENDING)
        connection[at.PENDING_SENT] = 0
    size = loop[at.SENDING_SIZE]
    gathered = octets(loop[at.SENDING], size)
    filled = 0
    small = words(loop[at.SMALL] + 48 * 8, 1)
    while True:
        n = h2.session_mem_send(connection[at.SESSION], loop[at.SMALL] + 48 * 8)
        if n < 0:
            return False
        if n > 0:
            if n > size - filled:
                if not give(loop, connection, filled):
                    return False
                filled = 0
                if connection[at.PENDING_BYTES]:
                    # the frame that was taken from the session has to follow what the socket did not take
                    if not append(loop, connection, at.PENDING, octets(small[0], n), 0, n):
                        return False
                    return stalled(loop, number, 1)
            copy(octets(small[0], n), 0, n, gathered, filled)
            filled += n
        if n == 0 or filled > size - 20000:
            if filled and not give(loop, connection, filled):
                return False
            filled = 0
            if connection[at.PENDING_BYTES]:
                return stalled(loop, number, 1)
            if n == 0:
                break
    connection[at.STALLED] = 0
    if connection[at.WRITING]:
        watch(loop, number, c.EPOLL_CTL_MOD, False)
    session = connection[at.SESSION]
    if h2.session_want_read(session) != 0 or h2.session_want_write(session) != 0:
        return True
    if connection[at.CLOSING] == 0:  # it is nghttp2 that ends it
        words(loop[at.COUNTED], count.COUNTS)[count.PROTOCOL_ERRORS] += 1
    leave(loop, number)
    return True


@general
def give(loop, connection, size):
    """Send what was gathered; what the socket does not take is kept. False when that cannot be."""
    sent = send(loop, connection, loop[at.SENDING], size)
    if sent < 0:
        return False
    if sent < size:
        return append(loop, connection, at.PENDING, octets(loop[at.SENDING], size), sent, size - sent)
    return True


@general_inlined
def send(loop, connection, address, size):
    """Bytes that the socket took; -1 when it is broken."""
    sent = c.send(connection[at.FD], address, size, c.MSG_NOSIGNAL)
    if sent < 0:
        wrong = c.error_number()
        return 0 if wrong == c.EAGAIN or wrong == c.EINTR else -1
    words(loop[at.COUNTED], count.COUNTS)[count.SENT] += sent
    return sent


@general
def stalled(loop, number, sent):
    """The socket takes no more for now."""
    connection = connection_at(loop, number)
    if connection[at.STALLED] == 0 or sent > 0:
        connection[at.STALLED] = loop[at.NOW]
    if not connection[at.WRITING]:
        watch(loop, number, c.EPOLL_CTL_MOD, True)
    return True


@general
def leave(loop, number):
    """End a connection, and close the socket when its client has.

    The system resets a connection that is closed while bytes of the client come in, if only a WINDOW_UPDATE, and what
    is still on the way to the client is lost with it (RFC 1122, 4.2.2.13; RFC 9112, 9.6).
    """
    connection = connection_at(loop, number)
    if connection[at.LEFT]:
        return
    end_session(loop, number)
    connection[at.LEFT] = connection[at.LAST] = loop[at.NOW]
    connection[at.CLOSING], connection[at.NOTICED_AT], connection[at.STALLED] = 2, 0, 0
    if connection[at.WRITING]:
        watch(loop, number, c.EPOLL_CTL_MOD, False)
    c.shutdown(connection[at.FD], c.SHUT_WR)


@general
def unsent(loop, connection):
    """Bytes that the client's system has not acknowledged."""
    left = ints(loop[at.SMALL], 1)
    return left[0] if c.ioctl(connection[at.FD], c.SIOCOUTQ, loop[at.SMALL]) == 0 else 0


@general
def end_session(loop, number):
    """Close all streams of a connection; what it has to send is forgotten."""
    connection = connection_at(loop, number)
    if connection[at.CALLS]:
        for row in range(loop[at.STREAM_COUNT]):
            stream = stream_at(loop, row)
            if stream[at.STATE] == at.OPEN and stream[at.CONNECTION_OF] == number:
                if stream[at.TOLD] and not tell_gone(loop, row):
                    keep_until_told(loop, row)
                else:
                    close_stream(loop, row)
    h2.session_del(connection[at.SESSION])
    give_back(loop, connection, at.PENDING)
    connection[at.SESSION] = 0


@general
def close_connection(loop, number):
    """Close the socket and all of its streams."""
    connection = connection_at(loop, number)
    if connection[at.FD] < 0:
        return
    if connection[at.LEFT] == 0:
        end_session(loop, number)
    c.close(connection[at.FD])
    connection[at.FD] = -1
    words(loop[at.FREE_CONNECTIONS], loop[at.CONNECTION_COUNT])[loop[at.FREE_CONNECTION_COUNT]] = number
    loop[at.FREE_CONNECTION_COUNT] += 1
    words(loop[at.COUNTED], count.COUNTS)[count.CLOSED_CONNECTIONS] += 1


@general
def sweep(loop):
    """Look after all connections: those that stand still end, and streams that Python was not told of are told."""
    counted = words(loop[at.COUNTED], count.COUNTS)
    waiting = 0
    if loop[at.LISTENER] >= 0:
        listen(loop, c.EPOLLIN)
    for row in range(loop[at.STREAM_COUNT]):
        stream = stream_at(loop, row)
        if stream[at.STATE] == at.CLOSED:
            if tell_gone(loop, row):
                close_stream(loop, row)
            else:
                waiting += 1
        elif stream[at.STATE] == at.OPEN:
            if loop[at.NOW] - stream[at.MOVED] > loop[at.SLOW] and stands_still(loop, stream):
                counted[count.SLOW_CLOSED] += 1
                end_slow(loop, row, stream)
            if loop[at.DRAINING]:
                make_ready(loop, row)
    for number in range(loop[at.CONNECTION_COUNT]):
        connection = connection_at(loop, number)
        if connection[at.FD] >= 0:
            look_after(loop, number, connection, counted)
    return waiting


@general
def stands_still(loop, stream):
    """Whether the client of a stream that does not move is the one who has to go on: with headers or a message that it
    began, or with taking the answer to its only message. A stream that says nothing between messages may rest."""
    if stream[at.HEADERS_SEEN] & DONE == 0:
        return True
    if stream[at.METHOD_OF] < 0:
        return False
    kind = words(loop[at.METHODS] + stream[at.METHOD_OF] * at.METHOD * 8, at.METHOD)[at.METHOD_KIND]
    if stream[at.FINISHED]:
        return kind == at.UNARY
    if stream[at.ENDED]:
        return False
    if kind == at.UNARY or kind == at.SERVER_STREAM:
        return stream[at.TOLD] == 0
    there, _, size = head(stream)
    left = stream[at.BODY_SIZE] - stream[at.BODY_READ]
    return left > 0 and (not there or left < PREFIX + size)


@general
def end_slow(loop, number, stream):
    """End a stream that stands still; and its connection where it is in the middle of headers."""
    if stream[at.HEADERS_SEEN] & DONE:
        reset(loop, number, h2.CANCEL)
        stream[at.MOVED] = loop[at.NOW]
        return
    connection = connection_at(loop, stream[at.CONNECTION_OF])
    connection[at.CLOSING] = 2
    h2.session_terminate_session(connection[at.SESSION], h2.ENHANCE_YOUR_CALM)
    make_dirty(loop, stream[at.CONNECTION_OF])


@general
def look_after(loop, number, connection, counted):
    """One connection."""
    now = loop[at.NOW]
    if connection[at.LEFT]:
        silent = now - connection[at.LAST] > LINGER
        if now - connection[at.LEFT] > loop[at.SLOW] or (silent and unsent(loop, connection) == 0):
            close_connection(loop, number)
        return
    if connection[at.STALLED] and now - connection[at.STALLED] > loop[at.SLOW]:
        counted[count.SLOW_CLOSED] += 1
        close_connection(loop, number)
        return
    if connection[at.GREETED] == 0 and now - connection[at.OPENED] > loop[at.SLOW]:
        counted[count.SLOW_CLOSED] += 1
        close_connection(loop, number)
        return
    quiet = now - connection[at.LAST]
    if connection[at.PINGED] and now - connection[at.PINGED] > loop[at.SLOW]:
        counted[count.SLOW_CLOSED] += 1
        close_connection(loop, number)
        return
    if connection[at.CALLS] == 0 and connection[at.STALLED] == 0:
        if loop[at.IDLE] and quiet > loop[at.IDLE] and connection[at.CLOSING] == 0:
            counted[count.IDLE_CLOSED] += 1
            give_notice(loop, number)
        elif connection[at.CLOSING] == 2 and quiet > loop[at.SLOW]:
            close_connection(loop, number)
            return
    elif quiet > loop[at.PING_AFTER] and connection[at.PINGED] == 0:
        connection[at.PINGED] = now
        h2.submit_ping(connection[at.SESSION], 0, 0)
        make_dirty(loop, number)
    if loop[at.AGE] and connection[at.CLOSING] == 0 and now - connection[at.OPENED] > loop[at.AGE]:
        counted[count.AGED] += 1
        give_notice(loop, number)
    if connection[at.NOTICED_AT] and now - connection[at.NOTICED_AT] > NOTICE_TIME:
        connection[at.NOTICED_AT] = 0
        connection[at.CLOSING] = 2
        last = h2.session_get_last_proc_stream_id(connection[at.SESSION])
        h2.submit_goaway(connection[at.SESSION], 0, last, h2.NO_ERROR, 0, 0)
        make_dirty(loop, number)


@general
def drained(loop, stop):
    """Whether the loop may end. The first time it stops listening and tells clients to call elsewhere."""
    if loop[at.DRAINING] == 0:
        loop[at.DRAINING] = at.NOTICED
        if loop[at.LISTENER] >= 0:
            accept(loop)  # who waits to be taken is told like the others, and not cut off with the socket
            c.epoll_ctl(loop[at.EPOLL], c.EPOLL_CTL_DEL, loop[at.LISTENER], loop[at.SMALL])
            c.close(loop[at.LISTENER])
            loop[at.LISTENER] = -1
        for number in range(loop[at.CONNECTION_COUNT]):
            connection = connection_at(loop, number)
            if connection[at.FD] >= 0 and connection[at.CLOSING] == 0:
                give_notice(loop, number)
        flush_all(loop)
        return False
    if stop > 1 or loop[at.NOW] > loop[at.DRAIN_UNTIL]:
        return True
    if loop[at.DRAINING] == at.NOTICED:
        for number in range(loop[at.CONNECTION_COUNT]):
            connection = connection_at(loop, number)
            if connection[at.FD] >= 0 and connection[at.NOTICED_AT]:
                return False
        release(loop[at.SELF] + 8 * at.DRAINING, at.LEAVING)
    return loop[at.FREE_STREAM_COUNT] == loop[at.STREAM_COUNT] and (
        loop[at.FREE_CONNECTION_COUNT] == loop[at.CONNECTION_COUNT]
    )


@general
def give_notice(loop, number):
    """Tell a client to call elsewhere. What it asks before it hears of that is taken: it has come before the answer to
    the PING that follows (`on_sent`)."""
    connection = connection_at(loop, number)
    connection[at.CLOSING], connection[at.NOTICED_AT] = 1, loop[at.NOW]
    h2.submit_shutdown_notice(connection[at.SESSION])
    make_dirty(loop, number)


@general
def close_all(loop):
    """Close every connection; how many there were that still had calls, or answers that were not sent."""
    cut = 0
    if loop[at.LISTENER] >= 0:
        c.close(loop[at.LISTENER])
        loop[at.LISTENER] = -1
    for number in range(loop[at.CONNECTION_COUNT]):
        connection = connection_at(loop, number)
        if connection[at.FD] >= 0:
            cut += connection[at.CALLS] > 0 or connection[at.PENDING_BYTES] > 0
            close_connection(loop, number)
    return cut
