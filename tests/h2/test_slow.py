"""Who does not go on with what it began is let go, who only rests is not; and what is held for anybody has a bound."""

import contextlib
import threading
import time

import pytest

from loadtest.h2 import frames
from loadtest.h2.frames import frame
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from tests.h2 import raw
from tests.h2.in_process import inside
from tests.h2.raw import IS_LIVE, STREAM, Raw, data
from tests.support.metrics import until

pytestmark = pytest.mark.faults

SLOW = 1.0
MIB = 1 << 20
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
EVERYTHING = b"\x22\x18epm.v1.PredictionService"


@pytest.fixture(scope="module")
def quick(small_repository):
    """A gateway without patience."""
    with inside(small_repository, slow=SLOW, ping=2 * SLOW, idle_seconds=3 * SLOW) as served:
        yield served


@pytest.fixture(autouse=True)
def at_rest(request):
    yield
    if "quick" in request.fixturenames:
        served = request.getfixturevalue("quick")
        assert served.comes_to_rest(), served.state()


def _is_closed(asked: Raw) -> bool:
    asked.end()
    return True


def test_who_never_says_anything_is_let_go(quick):
    with Raw(quick.grpc, greet=False) as silent, Raw(quick.grpc, greet=False) as half:
        half.send(frames.PREFACE[:10])
        assert _is_closed(silent)
        assert _is_closed(half)


def test_who_never_ends_its_headers_is_let_go(quick):
    with Raw(quick.grpc) as asked:
        asked.settle()
        asked.send(frame(frames.HEADERS, 0, 1, asked.block(asked.fields())))
        assert asked.end() == raw.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("path", [raw.LIVE, STREAM])
@pytest.mark.parametrize("part", [b"\0\0", frames.message(b"x" * 1000)[:700]])
def test_who_never_ends_its_message_is_reset_though_its_connection_is_lively(quick, path, part):
    with Raw(quick.grpc) as asked:
        asked.send(asked.headers(1, asked.fields(path)) + data(1, part))
        outcome, stream = asked.streams[1], 3
        while not outcome.ended:
            assert asked.ask(stream).messages == [IS_LIVE]
            stream += 2
            time.sleep(0.05)
        assert outcome.reset == raw.CANCEL


def test_who_never_takes_its_answer_is_reset(quick):
    with Raw(quick.grpc, settings={frames.INITIAL_WINDOW_SIZE: 0}) as asked:
        asked.send(asked.call(1))
        asked.until(lambda: asked.streams[1].headers)
        outcome = asked.streams[1]
        while not outcome.ended:
            asked.settle()
            time.sleep(0.05)
        assert outcome.reset == raw.CANCEL


def test_who_reads_nothing_from_its_socket_is_let_go(quick):
    closed = quick.counted(count.SLOW_CLOSED)
    with Raw(quick.grpc, settings={frames.INITIAL_WINDOW_SIZE: 2**31 - 1}, buffer=1024) as asked:
        asked.settle()
        asked.send(frames.window_update(0, 2**30) + asked.headers(1, asked.fields(REFLECTION)))
        asked.send(data(1, frames.message(EVERYTHING) * 5000, end=True))
        assert until(lambda: quick.counted(count.SLOW_CLOSED) > closed, 60), quick.state()
        assert quick.comes_to_rest(), quick.state()


def test_streams_that_rest_between_messages_stay_open(quick):
    """One whose messages are answered in the loop, and one that is Python's."""
    streams = {1: (STREAM, b"\xff"), 3: (REFLECTION, EVERYTHING)}
    with Raw(quick.grpc) as asked:
        for stream, (path, _) in streams.items():
            asked.send(asked.headers(stream, asked.fields(path)))
        for said in range(2):
            end = time.monotonic() + 2.5 * SLOW
            while time.monotonic() < end:
                asked.settle()
                time.sleep(0.1)
            for stream, (_, message) in streams.items():
                asked.send(data(stream, frames.message(message)))
                asked.until(lambda said=said, stream=stream: len(asked.streams[stream].messages) == said + 1)
        for stream in streams:
            asked.send(data(stream, b"", end=True))
            assert asked.outcome(stream).status == 0


def test_who_rests_with_calls_is_asked_whether_it_lives_and_only_the_dead_are_let_go(quick):
    with Raw(quick.grpc) as alive, Raw(quick.grpc) as dead:
        dead.lives = False
        for asked in (alive, dead):
            asked.send(asked.headers(1, asked.fields(STREAM)))
        alive.until(lambda: alive.asked == 2)
        assert _is_closed(dead)
        assert dead.asked == 1
        alive.send(data(1, frames.message(b"\xff"), end=True))
        assert len(alive.outcome(1).messages) == 1


def test_an_idle_connection_is_told_and_closed(quick):
    with Raw(quick.grpc) as asked:
        assert asked.ask(1).messages == [IS_LIVE]
        assert asked.end() == raw.NO_ERROR


def test_who_asks_while_an_idle_connection_ends_is_answered(quick):
    with Raw(quick.grpc) as asked:
        assert asked.ask(1).messages == [IS_LIVE]
        asked.until(lambda: asked.goaway)
        time.sleep(0.5)  # as if it were far away: it asked before it knew
        assert asked.ask(3).messages == [IS_LIVE]
        assert asked.end() == raw.NO_ERROR
        assert frames.word(asked.goaway.payload) == 3


def test_who_was_quiet_for_long_and_asks_while_the_gateway_leaves_is_answered(small_repository):
    with contextlib.ExitStack() as leaving:
        served = leaving.enter_context(inside(small_repository, slow=SLOW, drain_seconds=60))
        with Raw(served.grpc) as asked:
            assert asked.ask(1).messages == [IS_LIVE]
            time.sleep(2 * SLOW)
            ending = threading.Thread(target=leaving.close)
            ending.start()
            asked.until(lambda: asked.goaway)
            time.sleep(0.5)
            assert asked.ask(3).messages == [IS_LIVE]
            assert asked.end() == raw.NO_ERROR
            ending.join(60)


def test_what_messages_take_of_memory_is_bounded_and_given_back(small_repository):
    limits = {"message_memory_bytes": MIB, "max_message_bytes": 2 * MIB}
    with inside(small_repository, **limits) as served:
        half = frames.message(raw.filler(250_000))
        for _ in range(3):
            with Raw(served.grpc) as one, Raw(served.grpc) as other:
                one.settle()
                other.settle()
                for stream in range(1, 21, 2):
                    one.send(one.headers(stream, one.fields()) + data(stream, half[:200_000]))
                    one.settle()
                    one.send(frames.window_update(0, 1 << 20))
                    assert served.word(at.MEMORY) <= MIB
                one.settle()
                refused = [one.streams[stream] for stream in range(1, 21, 2)]
                assert 0 < sum(outcome.status == 8 for outcome in refused) < 10
                assert other.ask(1, raw.filler(1000)).messages == [IS_LIVE], "small ones still pass"
                kept = [2 * i + 1 for i, outcome in enumerate(refused) if not outcome.ended]
                for stream in kept:
                    one.send(data(stream, half[200_000:], end=True))
                    assert one.outcome(stream).messages == [IS_LIVE]
                assert other.ask(3, raw.filler(200_000)).messages == [IS_LIVE]
        assert served.comes_to_rest(), served.state()


def test_what_rows_keep_for_their_next_call_is_not_all_the_memory(small_repository):
    with inside(small_repository, message_memory_bytes=MIB, max_open_calls=1000) as served:
        with Raw(served.grpc) as asked:
            asked.settle()
            for round_ in range(3):
                streams = range(2000 * round_ + 1, 2000 * round_ + 1 + 2 * 400, 2)
                for stream in streams:
                    asked.send(asked.headers(stream, asked.fields()) + data(stream, frames.message(raw.filler(9))))
                asked.settle()
                assert served.calls == 400
                for stream in streams:
                    asked.send(data(stream, b"", end=True))
                for stream in streams:
                    assert asked.outcome(stream).messages == [IS_LIVE]
            assert asked.ask(9001, raw.filler(200_000)).messages == [IS_LIVE]
        assert served.comes_to_rest(), served.state()


def test_a_full_ring_holds_up_calls_and_streams_and_nothing_is_lost(small_repository):
    """Python stands still while more comes than the ring takes; some of it is cancelled meanwhile."""
    limits = {"max_message_bytes": 16384, "max_open_calls": 2000}
    go_on = threading.Event()

    async def stand_still() -> None:
        go_on.wait(60)

    with inside(small_repository, **limits) as served:
        with Raw(served.grpc) as asked, Raw(served.grpc) as leaving, Raw(served.grpc) as other:
            for one in (asked, leaving, other):
                one.settle()
                one.send(frames.window_update(0, 1 << 30))
            standing = threading.Thread(target=served.run, args=(stand_still(),))
            standing.start()
            body, refused = raw.filler(16000), served.counted(count.EXHAUSTED)
            handed = served.counted(count.HANDED)
            for stream in range(1, 2 * 200, 2):
                asked.send(asked.call(stream, body))
                asked.settle()
            assert 0 < served.counted(count.HANDED) - handed < 200, "the ring is full"
            other.send(other.headers(1, other.fields(STREAM)) + data(1, frames.message(b"\xff" * 1000) * 10))
            for stream in range(1, 2 * 100, 2):
                leaving.send(leaving.call(stream))
                leaving.settle()
            leaving.socket.close()
            go_on.set()
            standing.join(60)
            outcomes = [asked.outcome(stream) for stream in range(1, 2 * 200, 2)]
            assert all(outcome.messages == [IS_LIVE] for outcome in outcomes)
            assert served.counted(count.EXHAUSTED) == refused
            other.until(lambda: len(other.streams[1].messages) == 10)
            other.send(data(1, b"", end=True))
            assert other.outcome(1).status == 0
            assert other.ask(3, body).messages == [IS_LIVE]
        assert served.comes_to_rest(), served.state()


def test_calls_that_wait_for_the_ring_leave_memory_for_others(small_repository):
    go_on = threading.Event()

    async def stand_still() -> None:
        go_on.wait(60)

    limits = {"max_message_bytes": 16384, "max_open_calls": 2000, "message_memory_bytes": 4 * MIB}
    with inside(small_repository, **limits) as served, Raw(served.grpc) as asked:
        asked.settle()
        asked.send(frames.window_update(0, 1 << 30))
        standing = threading.Thread(target=served.run, args=(stand_still(),))
        standing.start()
        for stream in range(1, 2 * 300, 2):
            asked.send(asked.call(stream, raw.filler(16000)))
            asked.settle()
        assert served.word(at.MEMORY) <= 3.1 * MIB
        assert served.counted(count.EXHAUSTED) > 0
        go_on.set()
        standing.join(60)
        outcomes = [asked.outcome(stream) for stream in range(1, 2 * 300, 2)]
        assert all(outcome.messages == [IS_LIVE] or outcome.status == 8 for outcome in outcomes)
        waited = 300 - served.counted(count.EXHAUSTED) - (served.loop.from_loop.ring.data.size // 16000)
        assert waited > 20
