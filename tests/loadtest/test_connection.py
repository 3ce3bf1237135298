"""The client side of HTTP/2: windows, frames, and answers in every shape the protocol allows."""

import hpack
import pytest

from loadtest.h2 import frames
from loadtest.h2.connection import Connection, ConnectionFailed
from tests.loadtest.fake_server import HEADERS, TRAILERS, answer

pytestmark = pytest.mark.unit


def connected(settings=None, window=frames.LARGEST_WINDOW):
    """A connection that has seen the peer's settings; what it had to say so far is taken."""
    connection = Connection("127.0.0.1:1", "/a.B/C", window)
    connection.receive(frames.settings(settings or {}))
    connection.output()
    return connection


def sent(connection):
    """(kind, flags, stream, payload) of every frame to send now."""
    data, found = connection.output(), []
    while data:
        length, flags, stream = frames.HEAD.unpack_from(data)
        found.append((length & 0xFF, flags, stream, data[9 : 9 + (length >> 8)]))
        data = data[9 + (length >> 8) :]
    return found


def data_of(found):
    return [(stream, len(payload)) for kind, _, stream, payload in found if kind == frames.DATA]


def test_it_opens_with_the_preface_and_asks_for_no_header_table():
    data = Connection("127.0.0.1:1", "/a.B/C").output()
    assert data.startswith(frames.PREFACE)
    head, _, _ = frames.HEAD.unpack_from(data, 24)
    assert head & 0xFF == frames.SETTINGS
    settings = frames.read_settings(data[33 : 33 + (head >> 8)])
    assert settings[frames.HEADER_TABLE_SIZE] == 0
    assert settings[frames.INITIAL_WINDOW_SIZE] == 2**31 - 1


def test_no_call_begins_before_the_peer_has_said_its_settings():
    connection = Connection("127.0.0.1:1", "/a.B/C")
    assert not connection.can_call()
    connection.receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 1}))
    assert connection.can_call()
    connection.call(0, 0, b"x")
    assert not connection.can_call()


@pytest.mark.parametrize("length", [4, 126, 127, 128, 254, 255, 300, 5000])
def test_request_headers_are_readable_by_hpack_whatever_the_length_of_the_path(length):
    path = "/" + "p" * (length - 1)
    fields = hpack.Decoder().decode(frames.header_block("localhost:1", path))
    assert (":path", path) in [(name, value) for name, value in fields]
    assert ("te", "trailers") in [(name, value) for name, value in fields]


def test_a_message_is_cut_into_frames_the_peer_takes():
    connection = connected({frames.INITIAL_WINDOW_SIZE: 1 << 20})
    connection.call(0, 0, bytes(40_000))
    assert data_of(sent(connection)) == [(1, 16_384), (1, 16_384), (1, 40_000 - 2 * 16_384)]


def test_a_larger_frame_size_of_the_peer_is_used():
    connection = connected({frames.INITIAL_WINDOW_SIZE: 1 << 20, frames.MAX_FRAME_SIZE: 1 << 17})
    connection.call(0, 0, bytes(40_000))
    assert data_of(sent(connection)) == [(1, 40_000)]


def test_the_connection_window_holds_a_message_back_until_it_is_renewed():
    connection = connected({frames.INITIAL_WINDOW_SIZE: 1 << 20})
    connection.call(0, 0, bytes(65_000))
    connection.call(1, 0, bytes(1_000))
    assert sum(size for _, size in data_of(sent(connection))) == 65_535
    connection.receive(frames.window_update(3, 100_000))
    assert data_of(sent(connection)) == []
    connection.receive(frames.window_update(0, 100))
    assert data_of(sent(connection)) == [(3, 100)]
    connection.receive(frames.window_update(0, 100_000))
    found = sent(connection)
    assert data_of(found) == [(3, 365)]
    assert found[-1][1] == frames.END_STREAM


def test_messages_sent_whole_use_the_connection_window_up_too():
    connection = connected()
    for number in range(5):
        connection.call(number, 0, bytes(15_000))
    assert sum(size for _, size in data_of(sent(connection))) == 65_535


def test_the_stream_window_holds_only_its_own_stream_back():
    connection = connected({frames.INITIAL_WINDOW_SIZE: 10})
    connection.call(0, 0, bytes(25))
    connection.call(1, 0, bytes(10))
    assert data_of(sent(connection)) == [(1, 10), (3, 10)]
    connection.receive(frames.window_update(1, 15))
    assert data_of(sent(connection)) == [(1, 15)]


def test_a_window_made_smaller_meanwhile_may_become_negative():
    connection = connected({frames.INITIAL_WINDOW_SIZE: 20})
    connection.call(0, 0, bytes(50))
    assert data_of(sent(connection)) == [(1, 20)]
    connection.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 5}))
    connection.receive(frames.window_update(1, 15))
    assert data_of(sent(connection)) == []
    connection.receive(frames.window_update(1, 3))
    assert data_of(sent(connection)) == [(1, 3)]


def test_a_window_beyond_its_largest_size_is_the_peers_error():
    connection = connected()
    with pytest.raises(ConnectionFailed, match="window"):
        connection.receive(frames.window_update(0, 2**31 - 1))


def test_receive_windows_are_renewed_by_as_much_as_came():
    connection = connected(window=65_535)
    connection.call(0, 0, b"x")
    sent(connection)
    connection.receive(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x20" + HEADERS))
    connection.receive(b"".join(frames.frame(frames.DATA, 0, 1, bytes(16_384)) for _ in range(2)))
    renewed = {stream: frames.word(payload) for kind, _, stream, payload in sent(connection) if kind == 8}
    assert renewed == {0: 32_768, 1: 32_768}


def test_pings_and_settings_are_answered_and_their_acknowledgements_are_not():
    connection = connected()
    connection.receive(frames.frame(frames.PING, 0, 0, b"12345678") + frames.settings({}))
    assert sent(connection) == [(frames.PING, 1, 0, b"12345678"), (frames.SETTINGS, 1, 0, b"")]
    connection.receive(frames.frame(frames.PING, 1, 0, b"12345678") + frames.frame(frames.SETTINGS, 1, 0))
    assert sent(connection) == []


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_an_answer_is_read_however_its_bytes_are_cut(step):
    connection = connected()
    connection.call(7, 0, b"x", keep=True)
    data = answer(1, body=b"some answer")
    ended = [call for at in range(0, len(data), step) for call in connection.receive(data[at : at + step])]
    assert [(call.number, call.outcome, bytes(call.body[5:])) for call in ended] == [(7, 0, b"some answer")]


def test_padding_priority_continuations_and_unknown_frames_are_understood():
    connection = connected()
    connection.call(0, 0, b"x", keep=True)
    block, flags = b"\x20" + HEADERS, frames.PADDED | frames.PRIORITISED
    ended = connection.receive(
        frames.frame(frames.HEADERS, flags, 1, b"\x02" + bytes(5) + block[:4] + bytes(2))
        + frames.frame(frames.CONTINUATION, 0, 1, block[4:9])
        + frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[9:])
        + frames.frame(0xBE, 0, 0, b"what is this")
        + frames.frame(frames.DATA, frames.PADDED, 1, b"\x03" + frames.message(b"padded") + bytes(3))
        + frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, TRAILERS)
    )
    assert [(call.outcome, bytes(call.body[5:])) for call in ended] == [(0, b"padded")]


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (answer(1, first=b"\x20\x8d"), "HTTP 404"),
        (answer(1, last=b"\x00\x0bgrpc-status\x018"), 8),
        (answer(1, last=b"\x00\x04note\x010"), "no grpc-status"),
        (answer(1, last=TRAILERS).replace(b"\x06answer", b"\x07answer"), "grpc-status 0 without exactly one message"),
        (
            answer(1).replace(b"\x00\x00\x00\x00\x06", b"\x01\x00\x00\x00\x06"),
            "grpc-status 0 without exactly one message",
        ),
        (frames.frame(1, 5, 1, b"\x20" + HEADERS + TRAILERS), "grpc-status 0 without exactly one message"),
        (frames.frame(1, 5, 1, b"\x20" + HEADERS + b"\x00\x0bgrpc-status\x0212"), 12),
        (frames.frame(1, 4, 1, b"\x20" + HEADERS) + frames.frame(0, 1, 1, frames.message(b"")), "no trailers"),
        (frames.reset(1, 7), "RST_STREAM 7"),
    ],
)
def test_only_a_whole_answer_with_status_0_is_a_success(data, outcome):
    connection = connected()
    connection.call(0, 0, b"x")
    assert [call.outcome for call in connection.receive(data)] == [outcome]
    assert not connection.calls


def test_goaway_ends_the_calls_it_leaves_out_and_lets_the_others_finish():
    connection = connected()
    for number in range(3):
        connection.call(number, 0, b"x")
    ended = connection.receive(frames.frame(frames.GOAWAY, 0, 0, (3).to_bytes(4) + (2).to_bytes(4)))
    assert [(call.number, call.outcome) for call in ended] == [(2, "GOAWAY 2")]
    assert not connection.can_call()
    assert [call.outcome for call in connection.receive(answer(1) + answer(3))] == [0, 0]


def test_a_call_answered_before_it_was_asked_is_reset_so_that_the_peer_may_forget_it():
    connection = connected()
    connection.call(0, 0, bytes(100_000))
    sent(connection)
    connection.receive(frames.frame(1, 5, 1, b"\x20" + HEADERS + b"\x00\x0bgrpc-status\x018"))
    assert sent(connection) == [(frames.RST_STREAM, 0, 1, frames.CANCEL.to_bytes(4))]
    connection.receive(frames.window_update(0, 100_000))
    assert sent(connection) == []


def test_used_up_stream_ids_are_said_and_not_reused():
    connection = connected()
    connection.next_stream = 2**31 - 1
    connection.call(0, 0, b"x")
    with pytest.raises(ConnectionFailed, match="stream ids"):
        connection.call(1, 0, b"x")


@pytest.mark.parametrize(
    "data",
    [
        frames.frame(frames.CONTINUATION, 4, 1, b""),
        frames.frame(frames.HEADERS, 0, 1, b"\x88") + frames.frame(frames.PING, 0, 0, bytes(8)),
        frames.frame(frames.PUSH_PROMISE, 4, 1, bytes(4)),
        frames.HEAD.pack(1 << 28 | frames.DATA, 0, 1),
        frames.frame(frames.HEADERS, 5, 1, b"\x20\xff\xff\xff"),
    ],
)
def test_a_peer_that_breaks_the_protocol_fails_the_connection(data):
    connection = connected()
    connection.call(0, 0, b"x")
    with pytest.raises(ConnectionFailed):
        connection.receive(data)
