"""Flow control, both ways (RFC 9113, section 5.2): nobody sends more than the other takes, and all of it arrives."""

import pytest

from loadtest.h2 import frames
from loadtest.h2.frames import frame
from serving.listeners.h2 import loop_state_kernels as at
from tests.h2 import raw
from tests.h2.raw import IS_LIVE, STREAM, Raw, data, padded

pytestmark = pytest.mark.conformance

ANSWER = frames.message(IS_LIVE)
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
EVERYTHING = b"\x22\x18epm.v1.PredictionService"
"""A request for the description of a service: the answer is some hundred times as long."""
MIB = 1 << 20


def _sends_nothing(asked: Raw, stream: int, but: int) -> bool:
    """Whether the server stays with so many bytes of an answer, though it has read all that was sent."""
    for _ in range(3):
        asked.settle()
    return len(asked.streams[stream].data) == but


def test_an_answer_waits_for_the_window_of_its_stream_and_comes_byte_by_byte(served):
    with Raw(served.grpc, settings={frames.INITIAL_WINDOW_SIZE: 0}) as asked:
        asked.send(asked.call(1))
        asked.until(lambda: asked.streams[1].headers)
        assert _sends_nothing(asked, 1, 0)
        for came in range(1, len(ANSWER) + 1):
            asked.send(frames.window_update(1, 1))
            asked.until(lambda came=came: len(asked.streams[1].data) == came)
        assert asked.outcome(1).messages == [IS_LIVE]
        assert asked.streams[1].sizes[: len(ANSWER)] == [1] * len(ANSWER)


def test_a_window_that_is_changed_by_settings_counts_for_open_streams(served):
    with Raw(served.grpc, settings={frames.INITIAL_WINDOW_SIZE: 3}) as asked:
        asked.send(asked.call(1))
        asked.until(lambda: len(asked.streams[1].data) == 3)
        asked.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 1}) + frames.window_update(1, 2))
        assert _sends_nothing(asked, 1, 3)
        asked.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 2}))
        asked.until(lambda: len(asked.streams[1].data) == 4)
        asked.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 65535}))
        assert asked.outcome(1).messages == [IS_LIVE]


def test_many_answers_wait_for_the_window_of_their_connection(served):
    describe = frames.message(EVERYTHING)
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields(REFLECTION)))
        came = sent = 0
        while not (came == 65535 and _sends_nothing(asked, 1, came)):  # until the connection's window is used up
            asked.send(data(1, describe))
            sent += 1
            asked.settle()
            came = len(asked.streams[1].data)
            asked.send(frames.window_update(1, 1 << 16))
        asked.send(asked.call(3))
        asked.until(lambda: asked.streams[3].headers)
        assert _sends_nothing(asked, 3, 0)
        asked.send(frames.window_update(0, 1 << 20) + data(1, b"", end=True))
        assert asked.outcome(3).messages == [IS_LIVE]
        assert len(asked.outcome(1).messages) == sent
        assert len(set(asked.streams[1].messages)) == 1


def test_a_message_of_three_mebibytes_comes_in_through_the_windows(served):
    """The client sends what it may send and no more."""
    with Raw(served.grpc) as asked:
        asked.settle()
        body = frames.message(raw.filler(3 * MIB))
        asked.send(asked.headers(1, asked.fields()))
        most, sent = asked.settings[frames.INITIAL_WINDOW_SIZE], 0
        while sent < len(body):
            free = min(most + asked.credit.get(1, 0) - sent, 65535 + asked.credit.get(0, 0) - sent, 16384)
            if free <= 0:
                asked.read()
                continue
            part = body[sent : sent + free]
            sent += len(part)
            asked.send(data(1, part, end=sent == len(body)))
        assert asked.outcome(1).messages == [IS_LIVE]
        assert asked.credit[1] <= sent, "no more than was sent is given back"


def test_a_message_that_is_longer_than_the_window_is_let_in(served):
    with Raw(served.grpc) as asked:
        asked.settle()
        asked.send(asked.headers(1, asked.fields()))
        asked.send(data(1, frames.message(bytes(MIB))[: asked.settings[frames.INITIAL_WINDOW_SIZE]]))
        asked.settle()
        assert asked.credit[1] > 0, "the rest of it"


def test_who_does_not_take_answers_is_read_no_more_and_who_goes_on_all_the_same_is_reset(served):
    with Raw(served.grpc, settings={frames.INITIAL_WINDOW_SIZE: 0}) as asked:
        asked.send(asked.headers(1, asked.fields(REFLECTION)))
        some, sent = frames.message(EVERYTHING) * 400, 0
        outcome = asked.streams[1]
        while not outcome.ended and sent < 100:
            asked.send(data(1, some))
            asked.settle()
            sent += 1
        assert outcome.reset == raw.FLOW_CONTROL_ERROR
        assert len(some) * sent < 2 * MIB
        assert served.word(at.MEMORY) < 2 * MIB


def test_padding_counts_and_is_given_back(served):
    with Raw(served.grpc) as asked:
        asked.settle()
        body = frames.message(raw.filler(3000))
        asked.send(asked.headers(1, asked.fields(STREAM.replace("Stream", ""))))
        for stream in (3, 5, 7):
            asked.send(asked.headers(stream, asked.fields()))
            for i in range(0, len(body), 2):
                asked.send(padded(stream, body[i : i + 2], 255, end=i >= len(body) - 2))
            assert asked.outcome(stream).messages == [IS_LIVE]
            asked.settle()
            assert asked.credit[0] > 0
        asked.send(frames.reset(1, raw.CANCEL))


def test_data_of_streams_that_are_gone_are_given_back_to_the_connection(served):
    with Raw(served.grpc) as asked:
        asked.settle()
        credit = asked.credit.get(0, 0)
        for stream in range(1, 200, 2):
            asked.send(asked.headers(stream, asked.fields()) + data(stream, bytes(8000)))
            asked.send(frames.reset(stream, raw.CANCEL) + data(stream, bytes(8000)))
            asked.settle()
        sent = 100 * 16000
        first = 65535 + credit
        assert asked.credit[0] >= credit + sent - first
        assert asked.ask(401).messages == [IS_LIVE]


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6, 7, 100, 16384])
def test_a_message_in_any_frames_is_the_same_message(served, size):
    with Raw(served.grpc) as asked:
        body = frames.message(raw.filler(600))
        asked.send(asked.headers(1, asked.fields()) + data(1, body, end=True, size=size))
        assert asked.outcome(1).messages == [IS_LIVE]
        asked.send(asked.headers(3, asked.fields()))
        for i in range(0, len(body), size):
            asked.send(data(3, body[i : i + size]) + data(3, b""))
        asked.send(data(3, b"", end=True))
        assert asked.outcome(3).messages == [IS_LIVE]


def test_the_end_may_come_late_or_in_a_frame_of_its_own(served):
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields()) + data(1, frames.message(b"")))
        asked.settle()
        assert 1 not in asked.streams, "a unary call is whole when its client says so"
        asked.send(frame(frames.DATA, frames.END_STREAM, 1))
        assert asked.outcome(1).messages == [IS_LIVE]


@pytest.mark.parametrize(
    "body", [b"\0\0\0\0", frames.message(b"ab")[:-1], frames.message(b"") * 2, b"x" * 5, b"\0" * 6]
)
def test_a_unary_call_that_is_not_one_message_is_refused(served, body):
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields()) + data(1, body, end=True))
        assert asked.outcome(1).status in (8, 13)
        assert asked.ask(3).messages == [IS_LIVE]


def test_what_a_client_goes_on_sending_behind_its_answer_is_not_read(served):
    """It is told that it need not, and nothing of it is kept."""
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields("/no/such")))
        assert asked.outcome(1).status == 12
        assert served.calls == 0, "the row is free though the client has not ended its call"
        asked.send(data(1, bytes(60_000)))
        assert asked.ask(3).messages == [IS_LIVE]


def test_many_messages_in_one_frame_are_answered_in_order(served):
    bad = frames.message(b"\xff")
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields(STREAM)) + data(1, bad * 100, end=True))
        assert len(asked.outcome(1).messages) == 100
        asked.send(asked.headers(3, asked.fields(STREAM)))
        for byte in bad * 5:
            asked.send(data(3, bytes((byte,))))
        asked.send(data(3, b"", end=True))
        assert asked.outcome(3).messages == asked.streams[1].messages[:5]


def test_a_client_with_a_tiny_receive_buffer_gets_all_of_a_long_answer(served):
    with Raw(served.grpc, settings={frames.INITIAL_WINDOW_SIZE: 2**31 - 1}, buffer=1024) as asked:
        asked.send(frames.window_update(0, 2**30))
        asked.send(asked.headers(1, asked.fields(REFLECTION)) + data(1, frames.message(EVERYTHING) * 600, end=True))
        outcome = asked.outcome(1)
        assert len(outcome.messages) == 600
        assert len(set(outcome.messages)) == 1
        assert len(outcome.data) > MIB
