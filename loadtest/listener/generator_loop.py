"""The compiled part of the load generator: sockets, frames and the clock, without Python. `generator.py` is its face.

Everything of a connection stands in row `c` of an array. A call's place on its connection is `stream // 2 % PLACES`. In
a streaming method a call is one message of a stream that stays open, and a place has several of them.
"""

import numpy as np
from numba import njit, types

from loadtest.h2 import frames

_I, _A = types.int32, types.int64
recv = types.ExternalFunction("recv", _A(_I, _A, _A, _I))
send = types.ExternalFunction("send", _A(_I, _A, _A, _I))
epoll_wait = types.ExternalFunction("epoll_wait", _I(_I, _A, _I, _I))
clock_gettime = types.ExternalFunction("clock_gettime", _I(_I, _A))
DONT_WAIT, NO_SIGNAL, MONOTONIC, PROCESSOR = 0x40, 0x4000, 1, 2
PLACES = 4096
INPUT, OUTPUT = 1 << 18, 1 << 20
STREAMS, MESSAGES, PERIOD, DURATION, CALLS, GRACE, DISTINCT, EPOLL = range(8)
"""Of the plan: streams of a connection; unanswered messages of a stream, 0 for a unary method; ns between calls, 0 for
a closed loop; ns after which no call begins; how many begin at most; ns that open ones have to end; bodies; epoll."""
BEGUN, ANSWERED, SHAPELESS, RESET, LOST, BYTES, FIRST, LAST, LATEST, BLOCKS, OTHER_BLOCKS, UNREADABLE, CPU = range(13)
STOOD_UNTIL, STOOD = 13, 14
"""Counted: calls begun; ended; ended without exactly one message where one was to be expected (all that fail, too);
reset; lost with a connection; bytes received; ns of the first call and the last answer; ns by which a call was begun
too late at most; kinds of trailers; trailers beyond those kinds; connections that sent what cannot be read; processor
time in ns; with a rate: when the generator, which never sleeps then, went on after it had stood still for longer than
STANDS, and for how long it did in all."""
STANDS = 200_000
COUNTED = 16
NEXT, OPEN, WINDOW, STREAM_WINDOW, CONSUMED, GREETED, GONE, IN, OUT, SENT, HEADED, CLOSED, CONNECTION = range(13)
"""Of a connection: id of the next stream; open calls; what may be sent on it, and on a new stream; bytes received since
it was told to go on; whether its SETTINGS came; whether it is unusable; bytes in its buffers; streams that were opened;
whether they were ended."""
HEAD, TAIL, GOT, PREFIX, NEEDED, ROOM, DONE, PLACE = range(8)
"""Of a place: calls begun and ended on it (of one stream the oldest is answered first); bytes of the message that have
come; how many of its 5 prefix bytes; its bytes as the prefix says; what may be sent; messages complete."""
KINDS, BLOCK = 64, 256


@njit(cache=True)
def _now(place, clock=MONOTONIC):
    clock_gettime(clock, place.ctypes.data)
    return place[0] * 1_000_000_000 + place[1]


@njit(cache=True)
def _put_head(out, at, length, kind, flags, stream):
    out[at], out[at + 1], out[at + 2] = length >> 16, length >> 8 & 255, length & 255
    out[at + 3], out[at + 4] = kind, flags
    for i in range(4):
        out[at + 5 + i] = stream >> (24 - 8 * i) & 255


@njit(cache=True)
def _word(data, at):
    return (np.int64(data[at]) << 24) | (np.int64(data[at + 1]) << 16) | (np.int64(data[at + 2]) << 8) | data[at + 3]


@njit(cache=True)
def _put_word(out, at, value):
    for i in range(4):
        out[at + i] = value >> (24 - 8 * i) & 255


@njit(cache=True)
def _flush(socket, link, out):
    """Send what the socket takes."""
    while link[SENT] < link[OUT]:
        sent = send(socket, out.ctypes.data + link[SENT], link[OUT] - link[SENT], DONT_WAIT | NO_SIGNAL)
        if sent <= 0:
            return
        link[SENT] += sent
    link[OUT] = link[SENT] = 0


_DISTURBED = -2
"""Less the latency: of a call that was open, or should have begun, while the generator stood still."""


@njit(cache=True)
def _look_at_gap(counted, last, now):
    """The generator looked at the clock again."""
    if now - last > STANDS:
        counted[STOOD_UNTIL] = now
        counted[STOOD] += now - last


@njit(cache=True)
def _ended(places, due, numbers, now, results, counted, message, block):
    """Count the oldest call of a place. results: latencies, answers and their sizes, trailers and their sizes."""
    latencies, _, sizes, trailers, trailer_sizes = results
    slot = places[TAIL] % due.size
    number = numbers[slot]
    if number < latencies.size:
        took = now - due[slot]
        latencies[number] = took if due[slot] > counted[STOOD_UNTIL] else _DISTURBED - took
    if number < sizes.size:
        sizes[number] = message
        trailer_sizes[number] = block.size
        if block.size <= trailers.shape[1]:
            trailers[number, : block.size] = block
    places[TAIL] += 1
    counted[ANSWERED] += 1
    counted[LAST] = now


@njit(cache=True)
def _count_block(block, counted, blocks, block_sizes, block_counts):
    """Count trailers by their bytes."""
    for kind in range(counted[BLOCKS]):
        same = block_sizes[kind] == block.size
        for i in range(block.size if same else 0):
            same = same and blocks[kind, i] == block[i]
        if same:
            block_counts[kind] += 1
            return
    if counted[BLOCKS] < KINDS and block.size <= BLOCK:
        kind = counted[BLOCKS]
        blocks[kind, : block.size] = block
        block_sizes[kind], block_counts[kind] = block.size, 1
        counted[BLOCKS] += 1
    else:
        counted[OTHER_BLOCKS] += 1


@njit(cache=True)
def _on_data(link, place, due, numbers, payload, now, results, counted, streaming):
    """Bytes of messages: all of a unary answer, or one message after the other."""
    answers = results[1]
    empty = payload[:0]
    at = 0
    while at < payload.size:
        if place[PREFIX] < 5:
            place[NEEDED] = place[NEEDED] << 8 | payload[at]  # a first byte that is not 0 makes it more than ever comes
            place[PREFIX] += 1
            at += 1
        else:
            take = min(payload.size - at, place[NEEDED] - place[GOT])
            if take == 0:
                return False  # more than the message has
            number = numbers[place[TAIL] % due.size]
            if number < answers.shape[0] and place[GOT] + take <= answers.shape[1]:
                answers[number, place[GOT] : place[GOT] + take] = payload[at : at + take]
            place[GOT] += take
            at += take
        if streaming and place[PREFIX] == 5 and place[GOT] == place[NEEDED]:
            if place[TAIL] == place[HEAD]:
                return False
            _ended(place, due, numbers, now, results, counted, place[GOT], empty)
            link[OPEN] -= 1
            place[PREFIX] = place[GOT] = place[NEEDED] = 0
    return True


@njit(cache=True)
def _on_frame(kind, flags, stream, payload, link, places, due, numbers, out, now, results, counted, kinds, streaming):
    """Whether the connection goes on."""
    at = stream // 2 % PLACES
    if kind == frames.DATA:
        link[CONSUMED] += payload.size
        if flags & frames.PADDED:
            return False
        return _on_data(link, places[at], due[at], numbers[at], payload, now, results, counted, streaming)
    if kind == frames.HEADERS:
        if flags & (frames.PADDED | frames.PRIORITISED) or not flags & frames.END_HEADERS:
            return False
        if not flags & frames.END_STREAM:
            return True
        place = places[at]
        _count_block(payload, counted, kinds[0], kinds[1], kinds[2])
        if streaming:
            counted[LOST] += place[HEAD] - place[TAIL]
            link[OPEN] -= place[HEAD] - place[TAIL]
            place[TAIL], place[DONE] = place[HEAD], 1
        elif place[HEAD] > place[TAIL]:
            whole = place[PREFIX] == 5 and place[GOT] == place[NEEDED]
            counted[SHAPELESS] += not whole
            _ended(place, due[at], numbers[at], now, results, counted, place[GOT] if whole else -1, payload)
            place[PREFIX] = place[GOT] = place[NEEDED] = 0
            link[OPEN] -= 1
    elif kind == frames.SETTINGS and not flags & frames.ACK:
        for item in range(0, payload.size - 5, 6):
            if np.int64(payload[item]) << 8 | payload[item + 1] == frames.INITIAL_WINDOW_SIZE:
                link[STREAM_WINDOW] = _word(payload, item + 2)
        link[GREETED] = 1
        _put_head(out, link[OUT], 0, frames.SETTINGS, frames.ACK, 0)
        link[OUT] += 9
    elif kind == frames.PING and not flags & frames.ACK:
        _put_head(out, link[OUT], 8, frames.PING, frames.ACK, 0)
        out[link[OUT] + 9 : link[OUT] + 17] = payload
        link[OUT] += 17
    elif kind == frames.WINDOW_UPDATE:
        more = _word(payload, 0) & frames.LARGEST_WINDOW
        if stream == 0:
            link[WINDOW] += more
        else:
            places[at, ROOM] += more
    elif kind == frames.RST_STREAM:
        lost = places[at, HEAD] - places[at, TAIL]
        counted[RESET] += lost
        link[OPEN] -= lost
        places[at, TAIL], places[at, DONE] = places[at, HEAD], 1
        places[at, PREFIX] = places[at, GOT] = places[at, NEEDED] = 0
    return kind != frames.GOAWAY


@njit(cache=True)
def _read(socket, link, data, places, due, numbers, out, now, results, counted, kinds, streaming):
    """Take what has come. Whether the connection goes on."""
    got = recv(socket, data.ctypes.data + link[IN], data.size - link[IN], DONT_WAIT)
    if got <= 0:
        return got < 0
    counted[BYTES] += got
    end = link[IN] + got
    at = 0
    while end - at >= 9 and link[OUT] + 64 < out.size:
        length = np.int64(data[at]) << 16 | np.int64(data[at + 1]) << 8 | data[at + 2]
        if length > frames.DEFAULT_FRAME:
            return False
        if end - at < 9 + length:
            break
        stream = _word(data, at + 5) & frames.LARGEST_STREAM
        payload = data[at + 9 : at + 9 + length]
        if not _on_frame(
            data[at + 3],
            data[at + 4],
            stream,
            payload,
            link,
            places,
            due,
            numbers,
            out,
            now,
            results,
            counted,
            kinds,
            streaming,
        ):
            return False
        at += 9 + length
    for i in range(end - at):
        data[i] = data[at + i]
    link[IN] = end - at
    if link[CONSUMED] > 1 << 29:
        _put_head(out, link[OUT], 4, frames.WINDOW_UPDATE, 0, 0)
        _put_word(out, link[OUT] + 9, link[CONSUMED])
        link[OUT] += 13
        link[CONSUMED] = 0
    return True


@njit(cache=True)
def _place_for(link, places, size, plan):
    """The place of a call that may begin on the connection now; -1 for none."""
    if link[GONE] or not link[GREETED] or link[OUT] + size + 4096 > OUTPUT:
        return -1
    if plan[MESSAGES]:
        for step in range(plan[STREAMS]):
            at = (link[NEXT] + step) % plan[STREAMS]
            place = places[at]
            if place[DONE] or place[HEAD] - place[TAIL] >= plan[MESSAGES]:
                continue
            room = place[ROOM] if at < link[HEADED] else link[STREAM_WINDOW]
            if size <= min(link[WINDOW], room) and at <= link[HEADED]:
                link[NEXT] = at + 1
                return at
        return -1
    if link[OPEN] >= plan[STREAMS] or link[NEXT] > frames.LARGEST_STREAM - 2:
        return -1
    if size > min(link[WINDOW], link[STREAM_WINDOW]):
        return -1
    at = link[NEXT] // 2 % PLACES
    return at if places[at, HEAD] == places[at, TAIL] else -1


@njit(cache=True)
def _begin(link, at, places, due, numbers, out, block, body, when, number, streaming):
    """Write a call: its headers where it has a stream of its own or is the first on it, and its message."""
    place = places[at]
    stream = 2 * at + 1
    if not streaming:
        stream = link[NEXT]
        link[NEXT] += 2
    if not streaming or at >= link[HEADED]:
        _put_head(out, link[OUT], block.size, frames.HEADERS, frames.END_HEADERS, stream)
        out[link[OUT] + 9 : link[OUT] + 9 + block.size] = block
        link[OUT] += 9 + block.size
        link[HEADED] += 1
        place[ROOM] = link[STREAM_WINDOW]
    start = 0
    while start < body.size:
        size = min(body.size - start, frames.DEFAULT_FRAME)
        last = start + size == body.size and not streaming
        _put_head(out, link[OUT], size, frames.DATA, frames.END_STREAM if last else 0, stream)
        out[link[OUT] + 9 : link[OUT] + 9 + size] = body[start : start + size]
        link[OUT] += 9 + size
        start += size
    link[WINDOW] -= body.size
    place[ROOM] -= body.size
    slot = place[HEAD] % due.shape[1]
    due[at, slot], numbers[at, slot] = when, number
    place[HEAD] += 1
    link[OPEN] += 1


@njit(cache=True)
def _end_streams(link, places, out):
    """Say on open streams that nothing more comes. Whether all have their trailers."""
    done = True
    for at in range(link[HEADED]):
        if not link[CLOSED] and not places[at, DONE]:
            _put_head(out, link[OUT], 0, frames.DATA, frames.END_STREAM, 2 * at + 1)
            link[OUT] += 9
        done = done and places[at, DONE] > 0
    link[CLOSED] = 1
    return done


@njit(cache=True)
def _begin_all(links, places, due, numbers, out, blob, starts, block, plan, counted, now, first):
    """Begin what may begin. The connection that is looked at first is another one each time. -> that connection"""
    period = plan[PERIOD]
    silent = 0
    while silent < len(links) and counted[BEGUN] < plan[CALLS]:
        when = counted[FIRST] + counted[BEGUN] * period if period else now
        if when > now or when - counted[FIRST] >= plan[DURATION]:
            break
        which = counted[BEGUN] % plan[DISTINCT]
        body = blob[starts[which] : starts[which + 1]]
        at = _place_for(links[first], places[first], body.size + block.size + 27 + body.size // 1024, plan)
        if at < 0:
            silent += 1
        else:
            silent = 0
            counted[LATEST] = max(counted[LATEST], now - when)
            _begin(
                links[first],
                at,
                places[first],
                due[first],
                numbers[first],
                out[first],
                block,
                body,
                when,
                counted[BEGUN],
                plan[MESSAGES] > 0,
            )
            counted[BEGUN] += 1
        if at < 0 or period:
            first = (first + 1) % len(links)
    return first


@njit(cache=True)
def _run(
    plan, sockets, of, links, data, out, places, due, numbers, blob, starts, block, results, counted, kinds, began
):
    events = np.zeros(3 * max(16, sockets.size), np.int32)
    place = np.zeros(2, np.int64)
    streaming = plan[MESSAGES] > 0
    greeted, first = False, 0
    last = _now(place)
    while True:
        now = _now(place)
        if plan[PERIOD] and greeted:
            _look_at_gap(counted, last, now)
        last = now
        if not greeted:
            greeted = True
            for c in range(sockets.size):
                greeted = greeted and (links[c, GREETED] or links[c, GONE])
            if greeted:
                counted[FIRST] = now
            elif now - began > plan[GRACE]:
                return
        if greeted:
            first = _begin_all(links, places, due, numbers, out, blob, starts, block, plan, counted, now, first)
        owing, waiting, alive = 0, False, False
        for c in range(sockets.size):
            if links[c, GONE]:
                continue
            alive = True
            if links[c, OUT]:
                _flush(sockets[c], links[c], out[c])
            owing += links[c, OPEN]
            waiting = waiting or links[c, OUT] > 0
        passed = now - counted[FIRST]
        over = greeted and (passed >= plan[DURATION] or counted[BEGUN] >= plan[CALLS])
        if over and plan[PERIOD] and counted[BEGUN] < plan[CALLS] and counted[BEGUN] * plan[PERIOD] < plan[DURATION]:
            over = False  # some that were due wait for a free stream
        if over and owing == 0 and streaming:
            for c in range(sockets.size):
                if not links[c, GONE] and not _end_streams(links[c], places[c], out[c]):
                    owing += 1
                    waiting = waiting or links[c, OUT] > 0
        if not alive or (over and owing == 0) or (greeted and passed > plan[DURATION] + plan[GRACE]):
            return
        timeout = 0 if plan[PERIOD] and not over else 1 if waiting else 20
        found = epoll_wait(plan[EPOLL], events.ctypes.data, events.size // 3, timeout)
        now = _now(place)
        if timeout == 0:
            _look_at_gap(counted, last, now)
        last = now
        for event in range(found):
            c = of[events[3 * event + 1]]
            if links[c, GONE]:
                continue
            goes_on = _read(
                sockets[c],
                links[c],
                data[c],
                places[c],
                due[c],
                numbers[c],
                out[c],
                now,
                results,
                counted,
                kinds,
                streaming,
            )
            if not goes_on:
                links[c, GONE] = 1
                counted[LOST] += links[c, OPEN]
                counted[UNREADABLE] += 1
                links[c, OPEN] = 0


@njit(cache=True, nogil=True)
def drive(plan, sockets, of, links, data, out, places, due, numbers, blob, starts, block, results, counted, kinds):
    """Put the load on; everything found is written into the arrays. of: the connection of each descriptor."""
    place = np.zeros(2, np.int64)
    began, counted[CPU] = _now(place), _now(place, PROCESSOR)
    _run(plan, sockets, of, links, data, out, places, due, numbers, blob, starts, block, results, counted, kinds, began)
    counted[CPU] = _now(place, PROCESSOR) - counted[CPU]
