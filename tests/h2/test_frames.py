"""Frames of HTTP/2, right and wrong ones (RFC 9113, sections 3.4, 4, 5.1, 5.4 and 6), said byte by byte."""

import struct
import time

import pytest

from loadtest.h2 import frames
from loadtest.h2.frames import frame
from tests.h2 import raw
from tests.h2.conftest import MAX_STREAMS
from tests.h2.raw import IS_LIVE, LIVE, STREAM, Raw, data

pytestmark = pytest.mark.conformance

CONNECTION_ERRORS = {
    "DATA of the connection": (frame(frames.DATA, 0, 0, b"x"), raw.PROTOCOL_ERROR),
    "DATA of a stream that nobody opened": (frame(frames.DATA, 0, 1, b"x"), raw.PROTOCOL_ERROR),
    "HEADERS of the connection": (frame(frames.HEADERS, 4, 0, b"\x82"), raw.PROTOCOL_ERROR),
    "HEADERS of a server's stream": (frame(frames.HEADERS, 4, 2, b"\x82"), raw.PROTOCOL_ERROR),
    "PRIORITY of the connection": (frame(frames.PRIORITY, 0, 0, bytes(5)), raw.PROTOCOL_ERROR),
    "RST_STREAM of the connection": (frames.reset(0, 8), raw.PROTOCOL_ERROR),
    "RST_STREAM of a stream that nobody opened": (frames.reset(1, 8), raw.PROTOCOL_ERROR),
    "RST_STREAM, too short": (frame(frames.RST_STREAM, 0, 1, bytes(3)), raw.FRAME_SIZE_ERROR),
    "SETTINGS of a stream": (frame(frames.SETTINGS, 0, 1), raw.PROTOCOL_ERROR),
    "SETTINGS, cut off": (frame(frames.SETTINGS, 0, 0, bytes(5)), raw.FRAME_SIZE_ERROR),
    "SETTINGS acknowledged with more": (frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), raw.FRAME_SIZE_ERROR),
    "ENABLE_PUSH 2": (frames.settings({frames.ENABLE_PUSH: 2}), raw.PROTOCOL_ERROR),
    "a first window of 2^31": (frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 31}), raw.FLOW_CONTROL_ERROR),
    "frames of 16383 bytes": (frames.settings({frames.MAX_FRAME_SIZE: 16383}), raw.PROTOCOL_ERROR),
    "frames of 2^24 bytes": (frames.settings({frames.MAX_FRAME_SIZE: 1 << 24}), raw.PROTOCOL_ERROR),
    "PUSH_PROMISE": (frame(frames.PUSH_PROMISE, 4, 1, struct.pack(">I", 2) + b"\x82"), raw.PROTOCOL_ERROR),
    "PING of a stream": (frame(frames.PING, 0, 1, bytes(8)), raw.PROTOCOL_ERROR),
    "PING, too short": (frame(frames.PING, 0, 0, bytes(7)), raw.FRAME_SIZE_ERROR),
    "GOAWAY of a stream": (frame(frames.GOAWAY, 0, 1, bytes(8)), raw.PROTOCOL_ERROR),
    "GOAWAY, too short": (frame(frames.GOAWAY, 0, 0, bytes(7)), raw.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE, too short": (frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)), raw.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of a stream that nobody opened": (frames.window_update(1, 1), raw.PROTOCOL_ERROR),
    "the connection's window 0 larger": (frames.window_update(0, 0), raw.PROTOCOL_ERROR),
    "the connection's window too large": (frames.window_update(0, 2**31 - 1), raw.FLOW_CONTROL_ERROR),
    "CONTINUATION of nothing": (frame(frames.CONTINUATION, 4, 1, b"\x82"), raw.PROTOCOL_ERROR),
    "CONTINUATION of another stream": (
        frame(frames.HEADERS, 0, 1, b"\x83") + frame(frames.CONTINUATION, 4, 3, b"\x86"),
        raw.PROTOCOL_ERROR,
    ),
    "DATA before the end of headers": (
        frame(frames.HEADERS, 0, 1, b"\x83") + frame(frames.DATA, 0, 1, b"x"),
        raw.PROTOCOL_ERROR,
    ),
    "PING before the end of headers": (
        frame(frames.HEADERS, 0, 1, b"\x83") + frame(frames.PING, 0, 0, bytes(8)),
        raw.PROTOCOL_ERROR,
    ),
    "an unknown frame before the end of headers": (
        frame(frames.HEADERS, 0, 1, b"\x83") + frame(200, 0, 1, b"x"),
        raw.PROTOCOL_ERROR,
    ),
    "HEADERS that are all padding": (frame(frames.HEADERS, 4 | frames.PADDED, 1, b"\x09\x83"), raw.PROTOCOL_ERROR),
    "HEADERS with a cut priority": (frame(frames.HEADERS, 4 | frames.PRIORITISED, 1, bytes(4)), raw.FRAME_SIZE_ERROR),
    "a header that has no number": (frame(frames.HEADERS, 4, 1, b"\x80"), raw.COMPRESSION_ERROR),
    "a header that was never said": (frame(frames.HEADERS, 4, 1, b"\xff\x00"), raw.COMPRESSION_ERROR),
    "a header that is cut off": (frame(frames.HEADERS, 4, 1, b"\x00\x7f"), raw.COMPRESSION_ERROR),
    "a header table that is too large": (frame(frames.HEADERS, 4, 1, b"\x3f\xe2\x1f"), raw.COMPRESSION_ERROR),
    "frames that are too large": (frame(frames.HEADERS, 4, 1, bytes(16385)), raw.FRAME_SIZE_ERROR),
    "an unknown frame that is too large": (frame(200, 0, 0, bytes(16385)), raw.FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize(("said", "code"), CONNECTION_ERRORS.values(), ids=CONNECTION_ERRORS)
def test_a_connection_that_breaks_the_rules_is_told_why_and_closed(served, said, code):
    with Raw(served.grpc) as wrong, Raw(served.grpc) as other:
        wrong.settle()
        wrong.send(said)
        assert wrong.end() == code
        assert other.ask(1).messages == [IS_LIVE]


ON_AN_OPEN_STREAM = {
    "DATA that is all padding": (frame(frames.DATA, frames.PADDED, 1, b"\x06abcde"), raw.PROTOCOL_ERROR),
    "DATA with padding and no room for its length": (frame(frames.DATA, frames.PADDED, 1), raw.PROTOCOL_ERROR),
    "DATA that is too large": (frame(frames.DATA, 0, 1, bytes(16385)), raw.FRAME_SIZE_ERROR),
    "its HEADERS once more, not at the end": (frame(frames.HEADERS, 4, 1, b"\x83\x86"), raw.PROTOCOL_ERROR),
    "a window 0 larger": (frames.window_update(1, 0), raw.PROTOCOL_ERROR),
    "a window that is too large": (frames.window_update(1, 2**31 - 1), raw.FLOW_CONTROL_ERROR),
}


@pytest.mark.parametrize(("said", "code"), ON_AN_OPEN_STREAM.values(), ids=ON_AN_OPEN_STREAM)
def test_a_stream_that_breaks_the_rules_ends_it_or_its_connection(served, said, code):
    with Raw(served.grpc) as wrong:
        wrong.send(wrong.headers(1, wrong.fields(STREAM)))
        wrong.settle()
        wrong.send(said)
        try:
            outcome = wrong.outcome(1)
        except raw.Closed:
            assert wrong.goaway.code == code
        else:
            assert outcome.reset == code
            assert wrong.ask(5).messages == [IS_LIVE], "its connection goes on"


def test_a_stream_that_is_closed_takes_nothing_more(served):
    with Raw(served.grpc) as wrong:
        assert wrong.ask(1).messages == [IS_LIVE]
        wrong.send(wrong.headers(1, wrong.fields(), end=True) + data(1, b"more"))
        try:
            wrong.settle()
        except raw.Closed:
            assert wrong.goaway.code in (raw.PROTOCOL_ERROR, raw.STREAM_CLOSED)
        assert wrong.streams[1].messages == [IS_LIVE]


def test_data_behind_the_end_of_a_stream_that_is_being_answered_is_an_error(served):
    with Raw(served.grpc, settings={frames.INITIAL_WINDOW_SIZE: 0}) as wrong:
        wrong.send(wrong.call(1) + data(1, b"more"))
        wrong.until(lambda: wrong.streams[1].ended or wrong.goaway)
        assert (wrong.goaway.code if wrong.goaway else wrong.streams[1].reset) == raw.STREAM_CLOSED


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + frames.settings({}),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        frames.PREFACE + frame(frames.PING, 0, 0, bytes(8)),
        b"\n",
    ],
    ids=["HTTP/1", "nearly", "TLS", "no SETTINGS", "a line"],
)
def test_who_does_not_begin_as_HTTP_2_is_closed(served, said):  # noqa: N802
    with Raw(served.grpc, greet=False) as wrong, Raw(served.grpc) as other:
        wrong.send(said)
        assert wrong.end() in (None, raw.PROTOCOL_ERROR)
        assert other.ask(1).messages == [IS_LIVE]


def test_what_comes_byte_by_byte_is_understood(served):
    with Raw(served.grpc, greet=False) as slow:
        everything = frames.PREFACE + frames.settings({}) + slow.call(1, raw.filler(20)) + slow.call(3)
        for byte in everything:
            slow.send(bytes((byte,)))
        assert slow.outcome(1).messages == slow.outcome(3).messages == [IS_LIVE]


def test_settings_are_acknowledged_and_unknown_ones_ignored(served):
    with Raw(served.grpc, settings={0x99: 7, frames.MAX_CONCURRENT_STREAMS: 0, frames.ENABLE_PUSH: 0}) as asked:
        asked.until(lambda: asked.acknowledged == 1)
        asked.send(frames.settings({0xFFFF: 2**32 - 1}) * 3)
        asked.until(lambda: asked.acknowledged == 4)
        assert asked.ask(1).messages == [IS_LIVE]
        assert asked.settings[frames.MAX_CONCURRENT_STREAMS] == MAX_STREAMS


def test_unknown_frames_and_flags_and_the_reserved_bit_are_ignored(served):
    with Raw(served.grpc) as asked:
        fields = asked.block(asked.fields())
        asked.send(frame(0x42, 0xFF, 0, b"?" * 100) + frame(0x42, 0, 1, b""))
        asked.send(frame(frames.HEADERS, frames.END_HEADERS | 0x42, 1, fields))
        asked.send(frame(0x42, 0, 1, b"between") + frame(frames.PRIORITY, 0, 1, struct.pack(">IB", 3, 5)))
        asked.send(frame(frames.DATA, frames.END_STREAM | 0x80, 1 | 1 << 31, frames.message(b"")))
        assert asked.outcome(1).messages == [IS_LIVE]


def test_priorities_are_ignored(served):
    with Raw(served.grpc) as asked:
        asked.send(frame(frames.PRIORITY, 0, 7, struct.pack(">IB", 1 << 31 | 5, 255)))
        fields = struct.pack(">IB", 1 << 31, 1) + asked.block(asked.fields())
        asked.send(frame(frames.HEADERS, frames.END_HEADERS | frames.PRIORITISED, 1, fields))
        asked.send(data(1, frames.message(b""), end=True))
        assert asked.outcome(1).messages == [IS_LIVE]


def test_a_ping_comes_back_as_it_was(served):
    with Raw(served.grpc) as asked:
        for mark in (b"12345678", bytes(8), b"\xff" * 8):
            asked.send(frame(frames.PING, 0, 0, mark))
        asked.until(lambda: len(asked.pings) == 3)
        assert [ping.payload for ping in asked.pings] == [b"12345678", bytes(8), b"\xff" * 8]


def test_a_client_that_goes_away_gets_its_answers_first(served):
    with Raw(served.grpc, settings={frames.INITIAL_WINDOW_SIZE: 0}) as leaving:
        leaving.send(leaving.call(1) + frame(frames.GOAWAY, 0, 0, bytes(8)))
        leaving.settle()
        leaving.send(frames.window_update(1, 100))
        assert leaving.outcome(1).messages == [IS_LIVE]
        assert leaving.end() in (None, raw.NO_ERROR)


def test_a_reset_call_is_forgotten_and_others_go_on(served):
    with Raw(served.grpc) as asked:
        for stream in range(1, 400, 4):
            asked.send(asked.call(stream) + frames.reset(stream, raw.CANCEL) + asked.call(stream + 2))
            assert asked.outcome(stream + 2).messages == [IS_LIVE]


def test_many_calls_at_a_time_on_one_connection(served):
    with Raw(served.grpc) as asked:
        streams = range(1, 2 * 2000, 2)
        for begin in range(0, len(streams), 40):
            some = streams[begin : begin + 40]
            asked.send(b"".join(asked.call(stream, raw.filler(stream % 300)) for stream in some))
            assert all(asked.outcome(stream).messages == [IS_LIVE] for stream in some)


def test_an_idle_connection_may_rest_and_go_on(served):
    with Raw(served.grpc) as asked:
        assert asked.ask(1).messages == [IS_LIVE]
        time.sleep(0.5)
        assert asked.ask(3, path=LIVE).messages == [IS_LIVE]
