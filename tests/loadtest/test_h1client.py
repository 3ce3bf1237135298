"""The HTTP/1.1 load generator against real servers and against servers that misbehave."""

import contextlib
import http.server
import socket
import threading
import time
from collections import Counter

import pytest

from loadtest.h1.answer import LARGEST_HEAD, Answer
from loadtest.h1.client import Load, LoadError, run
from loadtest.h2.connection import ConnectionFailed

pytestmark = pytest.mark.integration


def bodies(count=20, size=50):
    return [number.to_bytes(4) + bytes(size) for number in range(count)]


def put(address, some=None, **options):
    """Run a load of distinct bodies, `calls` of them being as many as there are."""
    some = some or bodies()
    options = {"calls": len(some), "path": "/predict", "distinct": 1, "grace": 2.0, "streams": 1} | options
    return run(Load(address=address, bodies=some, **options))


def plain(body, status="200 OK", more=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def chunked(*chunks, trailers=""):
    parts = b"".join(b"%x;note=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n" + trailers.encode() + b"\r\n"


class Echo(http.server.BaseHTTPRequestHandler):
    """Gives bodies back; what begins with `bad` is answered with 500, with `much` in chunks."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body.startswith(b"much"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 1000):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body[at : at + 1000]), body[at : at + 1000]))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_response(500 if body.startswith(b"bad") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def echo():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def answering(*answers):
    """A server of plain sockets: sends to every request the next answer, a list of packets; None closes. Its address.

    One connection; requests are told apart by their size, that of `bodies()`.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for answer in answers:
                    data = b""
                    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < 54:
                        data += connection.recv(65536)
                    if answer is None:
                        return
                    for packet in answer:
                        connection.sendall(packet)
                        time.sleep(0.005)
                connection.recv(65536)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    thread.join(10)


@pytest.mark.parametrize(("connections", "streams"), [(1, 1), (4, 1), (1, 4)])
def test_bodies_of_every_size_come_back_on_kept_connections(echo, connections, streams):
    some = [body for size in (0, 1, 1000, 70_000, 300_000) for body in bodies(4, size)]
    result = put(echo, some, connections=connections, streams=streams, keep=len(some))
    assert result.all_ok
    assert result.statuses == Counter({0: 20})
    assert [result.kept[number] for number in range(20)] == some
    assert result.latencies_ns.shape == (20,)


def test_chunked_answers_are_put_together(echo):
    some = [b"much" + body for body in bodies(10, 5000)]
    result = put(echo, some, connections=2, keep=10)
    assert result.all_ok
    assert [result.kept[number] for number in range(10)] == some


def test_answers_of_500_are_errors_and_the_connection_goes_on(echo):
    some = [kind + body for body in bodies(5) for kind in (b"bad ", b"good")]
    result = put(echo, some, keep=10)
    assert result.statuses == Counter({0: 5})
    assert result.errors == Counter({"HTTP 500": 5})
    assert not result.all_ok
    assert set(result.kept) == {1, 3, 5, 7, 9}


def test_at_a_fixed_rate_calls_begin_when_they_are_due(echo):
    result = put(echo, calls=10_000, seconds=1.0, rate=100.0, connections=4)
    assert result.all_ok
    assert 95 <= result.statuses[0] <= 100


def test_several_addresses_are_asked_in_turn(echo):
    with answering(*([plain(b"here")] for _ in range(10))) as other:
        result = put(f"{echo},{other}", connections=2, keep=20)
    assert result.statuses[0] >= 10
    assert b"here" in result.kept.values()
    assert any(body != b"here" for body in result.kept.values())


def test_an_answer_in_packets_of_one_byte_is_an_answer():
    split = [plain(b"whole")[at : at + 1] for at in range(len(plain(b"whole")))]
    pieces = chunked(b"in ", b"pieces", trailers="x: y\r\n")
    with answering(split, [pieces[at : at + 1] for at in range(len(pieces))]) as address:
        result = put(address, bodies(2), keep=2)
    assert result.all_ok
    assert result.kept == {0: b"whole", 1: b"in pieces"}


def test_a_connection_closed_in_the_middle_of_an_answer_is_an_error():
    with answering([plain(b"first")], [plain(b"second")[:-3]]) as address:
        result = put(address, bodies(2), grace=5.0, seconds=0.5, keep=2)
    assert result.statuses == Counter({0: 1})
    assert sum(result.errors.values()) == 1
    assert result.kept == {0: b"first"}


def test_a_connection_closed_before_the_answer_is_an_error():
    with answering([plain(b"first")], None) as address:
        result = put(address)
    assert result.statuses == Counter({0: 1})
    assert result.errors.total() == 1
    assert not result.all_ok


def test_a_server_that_says_it_closes_ends_the_run_with_an_error():
    with answering([plain(b"last", more="Connection: close\r\n")]) as address:
        result = put(address)
    assert result.statuses == Counter({0: 1})
    assert result.errors == Counter({"the server closes the connection": 1})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nendless", "its end is not known"),
        (b"SSH-2.0-x\r\n\r\n", "no HTTP/1 answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+5\r\nhello\r\n", "no size of a chunk"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", "longer than its size"),
        (plain(b"hello") + b"more", "4 bytes more"),
        (chunked(b"hello") + b"more", "4 bytes more"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * LARGEST_HEAD, "no end of the head"),
    ],
)
def test_what_is_no_answer_is_an_error_in_words(answer, said):
    with answering([answer]) as address:
        result = put(address)
    assert result.statuses == Counter()
    assert said in next(iter(result.errors))


def test_an_interim_answer_is_passed_over():
    answer = Answer()
    assert not answer.feed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.feed(b"Content-Length: 2\r\n\r\nok")
    assert (answer.status, answer.body) == (200, b"ok")


def test_an_empty_answer_is_complete_at_once():
    answer = Answer()
    assert answer.feed(plain(b""))
    with pytest.raises(ConnectionFailed, match="more than the answer has"):
        answer.feed(b"x")


def test_too_few_distinct_bodies_are_refused():
    with pytest.raises(LoadError, match="2 distinct"):
        run(Load(address="127.0.0.1:1", path="/predict", bodies=[b"a", b"b"] * 1000))


@pytest.mark.parametrize("address", ["192.0.2.1:80", "example.org:80", "0.0.0.0:80"])
def test_load_goes_to_this_machine_only(address):
    with pytest.raises(LoadError, match="this machine only"):
        put(address)
