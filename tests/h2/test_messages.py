"""Messages that are compressed, broken or late, and limits that are odd, said byte by byte."""

import gzip
import struct
import time
import zlib

import pytest

from loadtest.h2 import frames
from tests.faults.protocols import Epm, ask
from tests.h2 import raw
from tests.h2.in_process import inside, resident
from tests.h2.raw import IS_LIVE, LIVE, STREAM, Raw, data
from tests.support.metrics import until

pytestmark = pytest.mark.faults

MIB = 1 << 20
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 4, 8, 12, 13
BODY = raw.filler(300)
PREDICT, ASKED = "/epm.v1.PredictionService/Predict", Epm.encode(None, ask(hours=[40.5]))


def _compressed(body: bytes) -> bytes:
    """A message that says that it is compressed."""
    return struct.pack(">BI", 1, len(body)) + body


def _ask(asked: Raw, stream: int, message: bytes, path: str = LIVE, **headers: str) -> raw.Outcome:
    asked.send(asked.headers(stream, asked.fields(path, **headers)) + data(stream, message, end=True))
    return asked.outcome(stream)


@pytest.mark.parametrize(("how", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_message_is_read(served, how, pack):
    with Raw(served.grpc) as asked:
        assert _ask(asked, 1, _compressed(pack(BODY)), grpc_encoding=how).messages == [IS_LIVE]
        assert _ask(asked, 3, frames.message(BODY), grpc_encoding=how).messages == [IS_LIVE], "it need not be"


@pytest.mark.parametrize(
    ("body", "how", "status"),
    [
        (gzip.compress(BODY)[:-9], "gzip", INTERNAL),
        (gzip.compress(BODY)[:20], "gzip", INTERNAL),
        (BODY, "gzip", INTERNAL),
        (gzip.compress(BODY), "deflate", INTERNAL),
        (b"", "gzip", INTERNAL),
        (gzip.compress(BODY), "zstd", UNIMPLEMENTED),
        (gzip.compress(BODY), "identity", UNIMPLEMENTED),
        (gzip.compress(bytes(40 * MIB)), "gzip", RESOURCE_EXHAUSTED),
    ],
    ids=["cut", "half", "plain", "another way", "nothing", "unknown", "not said", "a bomb"],
)
def test_what_cannot_be_decompressed_ends_its_call_unary_or_not(served, body, how, status):
    before = resident()
    with Raw(served.grpc) as asked:
        asked.settle()
        outcome = _ask(asked, 1, _compressed(body), grpc_encoding=how)
        assert outcome.status == status, outcome
        outcome = _ask(asked, 3, frames.message(b"\xff") + _compressed(body), STREAM, grpc_encoding=how)
        assert outcome.status == status, outcome
        assert len(outcome.messages) <= 1
        assert asked.ask(5).messages == [IS_LIVE]
    assert resident() - before < 32 * MIB


@pytest.mark.parametrize("path", [LIVE, REFLECTION])
def test_bytes_that_are_no_message_are_no_defect(served, path, caplog):
    with Raw(served.grpc) as asked:
        outcome = _ask(asked, 1, frames.message(b"\xff\xff\xff"), path)
        assert outcome.status in (3, INTERNAL)
        assert asked.ask(3).messages == [IS_LIVE]
    assert "defect" not in caplog.text


def test_a_call_that_is_late_always_ends_as_late(served):
    """Never as cancelled, whichever clock is a little ahead."""
    with Raw(served.grpc) as asked:
        for stream in range(1, 61, 2):
            asked.send(asked.headers(stream, asked.fields(REFLECTION, grpc_timeout=f"{stream}m")))
            asked.send(data(stream, frames.message(b"\x3a\x01x")))
        outcomes = [asked.outcome(stream) for stream in range(1, 61, 2)]
    assert {outcome.status for outcome in outcomes} == {DEADLINE_EXCEEDED}


def test_calls_that_are_reset_before_python_has_begun_them_are_forgotten(served):
    with Raw(served.grpc) as asked:
        for first in range(1, 400, 20):
            streams = range(first, first + 20, 2)
            asked.send(b"".join(asked.call(stream) for stream in streams))
            asked.send(b"".join(frames.reset(stream, raw.CANCEL) for stream in streams))
        asked.settle()
        assert until(lambda: served.handed.running == served.calls == 0, 30), served.state()


@pytest.mark.parametrize("size", [1024, 1025, 65_533])
def test_any_limit_of_messages_is_kept(size, small_repository):
    with inside(small_repository, max_message_bytes=size) as served:
        with Raw(served.grpc) as asked:
            asked.settle()
            fits = raw.filler(size - (4 if size < 16384 else 5))
            assert len(fits) == size
            assert asked.ask(1, fits).messages == [IS_LIVE]
            assert asked.ask(3, fits + b"\0").status == RESOURCE_EXHAUSTED
            assert asked.ask(5, bytes(2 * size)).status == RESOURCE_EXHAUSTED
            for stream in range(7, 207, 2):
                assert asked.ask(stream, fits).messages == [IS_LIVE]
        assert served.comes_to_rest(), served.state()


@pytest.mark.parametrize(("allowed", "status"), [("1n", DEADLINE_EXCEEDED), ("1m", DEADLINE_EXCEEDED), ("1M", 0)])
def test_a_prediction_whose_message_comes_after_its_deadline_is_not_answered(served, allowed, status):
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields(PREDICT, grpc_timeout=allowed)))
        asked.settle()
        time.sleep(0.02)  # as long as the longer one and more
        asked.send(data(1, frames.message(ASKED), end=True))
        outcome = asked.outcome(1)
        assert (outcome.status, len(outcome.messages)) == (status, int(status == 0))
