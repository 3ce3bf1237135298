"""Headers of requests, right and wrong ones (RFC 9113, section 8; RFC 7541), and what becomes of their calls."""

import pytest

from loadtest.h2 import frames
from loadtest.h2.frames import frame
from tests.h2 import raw
from tests.h2.raw import IS_LIVE, STREAM, Raw, data

pytestmark = pytest.mark.conformance

METHOD, SCHEME, PATH = (":method", "POST"), (":scheme", "http"), (":path", raw.LIVE)
AUTHORITY, TYPE, TE = (":authority", "x"), ("content-type", "application/grpc"), ("te", "trailers")
MALFORMED = {
    "no method": [SCHEME, PATH, AUTHORITY, TE, TYPE],
    "no scheme": [METHOD, PATH, AUTHORITY, TE, TYPE],
    "no path": [METHOD, SCHEME, AUTHORITY, TE, TYPE],
    "an empty path": [METHOD, SCHEME, (":path", ""), AUTHORITY, TE, TYPE],
    "two methods": [METHOD, METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE],
    "two paths": [METHOD, SCHEME, PATH, PATH, AUTHORITY, TE, TYPE],
    "two schemes": [METHOD, SCHEME, SCHEME, PATH, AUTHORITY, TE, TYPE],
    "a path behind other headers": [METHOD, SCHEME, AUTHORITY, TE, PATH, TYPE],
    "a status": [METHOD, SCHEME, PATH, AUTHORITY, (":status", "200"), TE, TYPE],
    "an unknown pseudo-header": [METHOD, SCHEME, PATH, AUTHORITY, (":what", "x"), TE, TYPE],
    "a capital letter": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("X-Upper", "x")],
    "a space in a name": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("x y", "x")],
    "a line break in a value": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("x", "a\r\nb: c")],
    "a zero in a value": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("x", "a\0b")],
    "connection": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("connection", "close")],
    "keep-alive": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("keep-alive", "1")],
    "proxy-connection": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("proxy-connection", "x")],
    "transfer-encoding": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("transfer-encoding", "chunked")],
    "upgrade": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("upgrade", "h2c")],
    "te that is not trailers": [METHOD, SCHEME, PATH, AUTHORITY, ("te", "gzip"), TYPE],
    "a length that is no number": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("content-length", "five")],
    "two lengths": [METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, ("content-length", "5"), ("content-length", "6")],
    "GET": [(":method", "GET"), SCHEME, PATH, AUTHORITY, TE, TYPE],
    "CONNECT": [(":method", "CONNECT"), AUTHORITY, TE, TYPE],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_reset_and_its_connection_goes_on(served, fields):
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, fields) + data(1, frames.message(b""), end=True))
        assert asked.outcome(1).reset == raw.PROTOCOL_ERROR
        assert asked.ask(3).messages == [IS_LIVE]


@pytest.mark.parametrize("length", ["4", "6", "0", "99999999999999999999"])
def test_data_of_another_length_than_was_said_is_an_error(served, length):
    with Raw(served.grpc) as asked:
        assert asked.ask(1, content_length=length).reset == raw.PROTOCOL_ERROR
        assert asked.ask(3, content_length="5").messages == [IS_LIVE]


def test_what_is_no_gRPC_is_an_unsupported_media_type(served):  # noqa: N802
    for kind in ("application/json", "application/grpcweb", "application/grp", "text/plain", ""):
        with Raw(served.grpc) as asked:
            asked.send(asked.headers(1, [METHOD, SCHEME, PATH, AUTHORITY, TE, ("content-type", kind)]))
            assert asked.outcome(1).headers == {":status": "415"}
            asked.send(asked.headers(3, [METHOD, SCHEME, PATH, AUTHORITY]) + data(3, b"{}", end=True))
            assert asked.outcome(3).headers == {":status": "415"}


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc;x=y"])
def test_all_forms_of_the_content_type_are_taken(served, kind):
    with Raw(served.grpc) as asked:
        fields = [METHOD, SCHEME, PATH, AUTHORITY, TE, ("content-type", kind)]
        asked.send(asked.headers(1, fields) + data(1, frames.message(b""), end=True))
        assert asked.outcome(1).headers == {":status": "200", "content-type": "application/grpc", "grpc-status": "0"}


@pytest.mark.parametrize(
    "path", ["/", "/x", "x", raw.LIVE[1:], raw.LIVE + "/", raw.LIVE[:-1], raw.LIVE + "?a=b", "*", "/" + "é" * 10]
)
def test_an_unknown_method_is_unimplemented_in_one_frame(served, path):
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields(path)))
        outcome = asked.outcome(1)
        if path in ("x", raw.LIVE[1:], "*") and outcome.reset == raw.PROTOCOL_ERROR:
            return  # such a path is malformed
        assert (outcome.status, outcome.data) == (12, b"")
        assert asked.ask(3).messages == [IS_LIVE]


def test_trailers_of_the_client_end_its_call(served):
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields()) + data(1, frames.message(b"")))
        asked.send(asked.headers(1, [("x-trailer", "y")], end=True))
        assert asked.outcome(1).messages == [IS_LIVE]


@pytest.mark.parametrize("fields", [[(":path", "/x")], [(":status", "200")], [("connection", "close")]])
def test_trailers_that_are_wrong_are_an_error(served, fields):
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields()) + data(1, frames.message(b"")))
        asked.send(asked.headers(1, fields, end=True))
        assert asked.outcome(1).reset == raw.PROTOCOL_ERROR
        assert asked.ask(3).messages == [IS_LIVE]


def test_a_call_without_any_data_has_no_message(served):
    with Raw(served.grpc) as asked:
        asked.send(asked.headers(1, asked.fields(), end=True))
        assert asked.outcome(1).status == 13
        asked.send(asked.headers(3, asked.fields(STREAM), end=True))
        outcome = asked.outcome(3)
        assert (outcome.status, outcome.data) == (0, b""), "a stream may have none"


def test_headers_may_come_in_pieces(served):
    with Raw(served.grpc) as asked:
        block = asked.block(asked.fields())
        asked.send(frame(frames.HEADERS, 0, 1, block[:1]))
        for i in range(1, 7):
            asked.send(frame(frames.CONTINUATION, 0, 1, block[i : i + 1]))
        asked.send(frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[7:]))
        asked.send(data(1, frames.message(b""), end=True))
        assert asked.outcome(1).messages == [IS_LIVE]


def test_headers_with_padding_are_read(served):
    with Raw(served.grpc) as asked:
        block = b"\xff" + asked.block(asked.fields()) + bytes(255)
        asked.send(frame(frames.HEADERS, frames.END_HEADERS | frames.PADDED, 1, block))
        asked.send(data(1, frames.message(b""), end=True))
        assert asked.outcome(1).messages == [IS_LIVE]


def test_headers_by_table_and_by_code_are_read(served):
    """The encoder enters what it says into the table: the second call says little, the fifth changes the table."""
    import hpack

    with Raw(served.grpc) as asked:
        asked.until(lambda: asked.settings)
        encoder = hpack.Encoder()
        for number in range(8):
            if number == 5:
                encoder.header_table_size = 256
            block = encoder.encode([*asked.fields(), ("x-number", str(number // 2))], huffman=True)
            stream = 2 * number + 1
            asked.send(frame(frames.HEADERS, frames.END_HEADERS, stream, block))
            asked.send(data(stream, frames.message(b""), end=True))
            assert asked.outcome(stream).messages == [IS_LIVE]
        assert len(block) < 256


@pytest.mark.parametrize("size", [20_000, 40_000, 60_000])
def test_headers_that_are_too_long_are_refused(served, size):
    with Raw(served.grpc) as asked:
        block = asked.block([*asked.fields(), *(("x-long", "y" * 1000) for _ in range(size // 1000))])
        parts = [block[i : i + 16384] for i in range(0, len(block), 16384)]
        said = frame(frames.HEADERS, 0, 1, parts[0])
        for part in parts[1:]:
            said += frame(frames.CONTINUATION, frames.END_HEADERS if part is parts[-1] else 0, 1, part)
        try:
            asked.send(said + data(1, frames.message(b""), end=True))
            outcome = asked.outcome(1)
        except raw.Closed:
            assert asked.goaway is not None
            assert asked.goaway.code == raw.ENHANCE_YOUR_CALM
        else:
            assert outcome.status == (0 if size == 20_000 and outcome.messages else 8), outcome
    assert asked.settings[6] == 16384, "what it takes was said"


def test_metadata_that_nobody_asks_for_are_ignored(served):
    with Raw(served.grpc) as asked:
        others = {"user_agent": "x" * 3000, "x_bin": "AAEC", "grpc_accept_encoding": "identity,gzip", "x": ""}
        assert asked.ask(1, **others).messages == [IS_LIVE]


@pytest.mark.parametrize("timeout", ["1H", "99999999H", "99999999u", "2M", "99999m", "60S"])
def test_timeouts_in_any_unit_are_read(served, timeout):
    with Raw(served.grpc) as asked:
        assert asked.ask(1, grpc_timeout=timeout).messages == [IS_LIVE]
        assert asked.ask(3, grpc_timeout="1n").status in (0, 4)


@pytest.mark.parametrize("timeout", ["", "S", "10", "1x", "-1S", "123456789S", "1.5S", "S1"])
def test_what_is_no_timeout_is_as_if_nobody_had_said_it(served, timeout):
    with Raw(served.grpc) as asked:
        assert asked.ask(1, grpc_timeout=timeout).messages == [IS_LIVE]
