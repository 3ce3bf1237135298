"""Clients that ask for much with little: they are stopped, others are answered, and nothing of it is kept."""

import contextlib
import itertools
import os
import resource
import socket
import struct
import time

import pytest

from loadtest.h2 import frames
from loadtest.h2.frames import frame
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from tests.h2 import raw
from tests.h2.conftest import MAX_CONNECTIONS, MAX_OPEN_CALLS, MAX_STREAMS
from tests.h2.in_process import descriptors, resident
from tests.h2.raw import IS_LIVE, STREAM, Raw, data
from tests.support.metrics import until

pytestmark = pytest.mark.faults

MIB = 1 << 20


@pytest.fixture(autouse=True)
def unharmed(served):
    """Before and after each flood another client is answered, and memory and descriptors are as they were."""
    with Raw(served.grpc) as other:
        assert other.ask(1).messages == [IS_LIVE]
        before = resident(), descriptors()
        yield
        assert other.ask(3).messages == [IS_LIVE]
    assert served.comes_to_rest(), served.state()
    assert resident() - before[0] < 64 * MIB
    assert until(lambda: descriptors() <= before[1]), "descriptors are given back"


def _until_closed(asked, said, most=200 * MIB):
    """Send the same again and again until the server has enough; the code of its GOAWAY."""
    for _ in range(most // len(said)):
        try:
            asked.send(said)
        except raw.Closed:
            break
    else:
        pytest.fail("nobody stopped it")
    return asked.goaway.code if asked.goaway else None


def test_calls_that_are_reset_at_once_are_not_taken_for_ever(served):
    """CVE-2023-44487."""
    floods, opened = served.counted(count.FLOODS), served.counted(count.STREAMS_OPENED)
    with Raw(served.grpc) as hostile:
        streams = itertools.count(1, 2)
        while not hostile.ended:
            some = list(itertools.islice(streams, 50))
            with contextlib.suppress(raw.Closed):
                hostile.send(b"".join(hostile.call(stream) + frames.reset(stream, raw.CANCEL) for stream in some))
        assert hostile.goaway is None or hostile.goaway.code == raw.ENHANCE_YOUR_CALM
    assert served.counted(count.FLOODS) > floods
    assert served.counted(count.STREAMS_OPENED) - opened < 5000


def test_calls_that_make_the_server_reset_them_do_not_keep_anything(served):
    """The server's own resets (CVE-2025-8671)."""
    with Raw(served.grpc) as hostile:
        for stream in range(1, 8000, 2):
            hostile.send(hostile.headers(stream, hostile.fields(content_length="6")) + data(stream, b"1234567"))
            if stream % 40 == 39:
                hostile.settle()
                hostile.settle()
                assert hostile.streams[stream].reset == raw.PROTOCOL_ERROR
        assert served.calls == 0
        assert served.handed.running == 0


@pytest.mark.parametrize("piece", [b"", b"\x00\x01a\x01b", b"\x00\x01a\x7f\x80\x7e" + b"y" * 16255])
def test_headers_without_an_end_are_stopped(served, piece):
    """CVE-2024-27983 and the like."""
    floods, held = served.counted(count.FLOODS), served.word(at.MEMORY)
    with Raw(served.grpc) as hostile:
        hostile.settle()
        hostile.send(frame(frames.HEADERS, 0, 1, hostile.block(hostile.fields())))
        code = _until_closed(hostile, frame(frames.CONTINUATION, 0, 1, piece))
        assert code in (None, raw.ENHANCE_YOUR_CALM, raw.INTERNAL_ERROR)
    assert served.counted(count.FLOODS) + served.counted(count.PROTOCOL_ERRORS) > floods
    assert served.word(at.MEMORY) < held + MIB


def test_a_short_block_of_many_long_headers_is_refused(served):
    """HPACK's table says a long header in one byte."""
    with Raw(served.grpc) as hostile:
        hostile.settle()
        entry = b"\x40\x06x-long\x7f\x81\x1e" + b"y" * 3968
        fields = frames.header_block(served.grpc, raw.LIVE)
        hostile.send(frame(frames.HEADERS, 4, 1, fields + entry) + data(1, frames.message(b""), end=True))
        assert hostile.outcome(1).messages == [IS_LIVE]
        for stream in range(3, 101, 2):
            bomb = frame(frames.HEADERS, 4, stream, fields + b"\xbe" * 16000)
            hostile.send(bomb + data(stream, frames.message(b""), end=True))
            assert hostile.outcome(stream).status == 8
        assert served.word(at.MEMORY) < MIB


@pytest.mark.parametrize(
    "said",
    [frames.settings({frames.INITIAL_WINDOW_SIZE: 65535}), frame(frames.PING, 0, 0, bytes(8))],
    ids=["SETTINGS", "PING"],
)
def test_who_asks_for_acknowledgements_and_does_not_read_them_is_stopped(served, said):
    with Raw(served.grpc, buffer=1024) as hostile:
        _until_closed(hostile, said * 1000)


def test_who_reads_acknowledgements_may_have_many(served):
    with Raw(served.grpc) as lively:
        for number in range(20):
            lively.send(frames.settings({}) * 100)
            lively.until(lambda number=number: lively.acknowledged == 1 + 100 * (number + 1))


def test_data_without_data_is_stopped(served):
    with Raw(served.grpc) as hostile:
        hostile.send(hostile.headers(1, hostile.fields(STREAM)))
        assert _until_closed(hostile, data(1, b"") * 50) in (None, raw.ENHANCE_YOUR_CALM)


def test_windows_that_grow_byte_by_byte_are_only_slow(served):
    with Raw(served.grpc) as odd:
        odd.send(frames.window_update(0, 1) * 20_000 + odd.call(1))
        assert odd.outcome(1).messages == [IS_LIVE]


def test_priorities_of_streams_that_never_come_are_forgotten(served):
    with Raw(served.grpc) as odd:
        for stream in range(1, 100_000, 2000):
            odd.send(
                b"".join(
                    frame(frames.PRIORITY, 0, number, struct.pack(">IB", number - 2 if number > 1 else 9, 1))
                    for number in range(stream, stream + 2000, 2)
                )
            )
        assert odd.ask(100_001).messages == [IS_LIVE]


def test_more_connections_than_there_is_room_for_are_closed_at_once(served):
    kept = []
    try:
        for _ in range(MAX_CONNECTIONS - 1):  # one is another client's
            kept.append(Raw(served.grpc))
            assert kept[-1].ask(1).messages == [IS_LIVE]
        for _ in range(50):
            with Raw(served.grpc, greet=False) as late:
                assert late.end() is None
        assert all(one.ask(3).messages == [IS_LIVE] for one in kept)
    finally:
        for one in kept:
            one.socket.close()
    assert until(lambda: served.connections == 1, 30)
    with Raw(served.grpc) as again:
        assert again.ask(1).messages == [IS_LIVE]


def test_connections_that_find_no_descriptor_wait_and_the_loop_rests_meanwhile(served):
    host, port = served.grpc.split(":")
    waiting, taken = [socket.socket() for _ in range(5)], []
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), usual[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for one in waiting:
            one.settimeout(raw.PATIENCE)
            one.connect((host, int(port)))
        turns = served.counted(count.TURNS)
        time.sleep(1)
        turned, accepted = served.counted(count.TURNS) - turns, served.connections
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        for descriptor in taken:
            os.close(descriptor)
    assert [one.recv(9)[3] for one in waiting] == [frames.SETTINGS] * 5, "all of them are served in the end"
    for one in waiting:
        one.close()
    assert accepted == 1, "the other client's"
    assert turned < 200, "it tries some times a second, and does not run in circles"


def test_more_calls_than_a_connection_may_have_are_refused(served):
    with Raw(served.grpc) as greedy:
        greedy.until(lambda: greedy.settings)  # and acknowledged: from now on it knows better
        for stream in range(1, 2 * MAX_STREAMS, 2):
            greedy.send(greedy.headers(stream, greedy.fields(STREAM)))
        one_more = 2 * MAX_STREAMS + 1
        greedy.send(greedy.headers(one_more, greedy.fields(STREAM)))
        try:
            assert greedy.outcome(one_more).reset == raw.REFUSED_STREAM
        except raw.Closed:
            assert greedy.goaway.code == raw.PROTOCOL_ERROR
        assert served.calls <= MAX_STREAMS


def test_more_calls_than_there_is_room_for_are_refused_and_may_be_tried_again(served):
    refused = served.counted(count.STREAMS_REFUSED)
    with Raw(served.grpc) as one, Raw(served.grpc) as two:
        for stream in range(1, 2 * MAX_STREAMS, 2):
            one.send(one.headers(stream, one.fields(STREAM)))
        one.settle()
        for stream in range(1, 2 * (MAX_OPEN_CALLS - MAX_STREAMS), 2):
            two.send(two.headers(stream, two.fields(STREAM)))
        two.settle()
        assert served.calls == MAX_OPEN_CALLS
        late = 2 * MAX_STREAMS + 1
        assert two.ask(late).reset == raw.REFUSED_STREAM
        assert served.counted(count.STREAMS_REFUSED) == refused + 1
        one.send(frames.reset(1, raw.CANCEL))
        one.settle()
        assert two.ask(late + 2).messages == [IS_LIVE]


def test_connections_that_are_cut_in_the_middle_of_anything_leave_nothing(served):
    said = frames.PREFACE + frames.settings({})
    with Raw(served.grpc) as plain:
        said += plain.call(1, raw.filler(500)) + plain.headers(3, plain.fields(STREAM))
        said += data(3, frames.message(b"\xff") * 3) + plain.call(5)[:-3]
    for size in range(0, len(said), 7):
        with Raw(served.grpc, greet=False) as cut:
            cut.send(said[:size])
            if size % 2:
                cut.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
