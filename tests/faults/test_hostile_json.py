"""JSON that is none, that is too deep, or that holds what no request holds: 400 in words, as JSON."""

import gzip
import json
import socket
import time

import pytest

from tests.faults.conftest import MAX_BYTES
from tests.faults.protocols import ask

pytestmark = pytest.mark.faults

rest = pytest.mark.parametrize("protocol", ["rest_tf", "rest_kserve"], indirect=True)
rest_tf = pytest.mark.parametrize("protocol", ["rest_tf"], indirect=True)
rest_kserve = pytest.mark.parametrize("protocol", ["rest_kserve"], indirect=True)

NO_REQUEST = {
    "nothing": b"",
    "spaces": b"   ",
    "null": b"null",
    "a number": b"77.4375",
    "a text": b'"canary"',
    "a list": b"[1, 2]",
    "an empty object": b"{}",
    "the same name twice": b'{"inputs": {"hours": [40], "hours": [77.4375]}}',
    "half": b'{"inputs": {"hours": [40',
    "not UTF-8": b'{"inputs": {"hours\xff\xfe": [40]}}',
    "UTF-16 cut off": '{"inputs": 1}'.encode("utf-16")[:-1],
    "a zero byte": b'{"inputs": \x00}',
    "deep lists": b'{"inputs": ' + b"[" * 30000,
    "deep closed lists": b'{"inputs": ' + b"[" * 20000 + b"]" * 20000 + b"}",
    "deep objects": b'{"a":' * 10000 + b"1" + b"}" * 10000,
    "deep but readable": b'{"inputs": ' + b"[" * 300 + b"]" * 300 + b"}",
    "a number of 20000 digits": b'{"inputs": {"hours": [' + b"7" * 20000 + b"]}}",
}
CELLS = {
    "an object": {"canary": 1},
    "a list": [1, 2],
    "a long number": 10**400,
    "a number beyond doubles": float("inf"),
    "a text": "canary",
    "a lonely surrogate": "\ud800",
}


@rest
@pytest.mark.parametrize("body", NO_REQUEST.values(), ids=NO_REQUEST)
def test_a_body_that_is_no_request_is_invalid(body, protocol):
    outcome = protocol.send(body)
    assert outcome.status == "INVALID_ARGUMENT", outcome
    assert len(outcome.message) < 1000


@rest
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("name", ["hours", "features"])
def test_a_cell_that_is_no_number_is_invalid(cell, name, protocol):
    data = [cell] if name == "hours" else [[cell] * 8]
    tensor = {"name": name, "shape": [1] if name == "hours" else [1, 8], "datatype": "FP64", "data": data}
    v1 = json.dumps({"inputs": {name: data}}).encode()
    outcome = protocol.send(v1 if "v1" in protocol.path(ask()) else json.dumps({"inputs": [tensor]}).encode())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", name), outcome


@rest
@pytest.mark.parametrize("name", ["\ud800", "canary\udfff"])
def test_a_name_that_cannot_be_written_in_utf8_is_invalid(name, protocol):
    tensor = {"name": name, "shape": [1], "datatype": "FP64", "data": [40]}
    v1 = json.dumps({"inputs": {name: [40]}}).encode()
    outcome = protocol.send(v1 if "v1" in protocol.path(ask()) else json.dumps({"inputs": [tensor]}).encode())
    assert outcome.status == "INVALID_ARGUMENT", outcome


@rest_tf
@pytest.mark.parametrize(
    "body",
    [
        {"inputs": 7},
        {"inputs": None},
        {"inputs": {"hours": 40}},
        {"inputs": {"hours": None}},
        {"inputs": {"hours": {"0": 40}}},
        {"inputs": {"hours": [40]}, "instances": [{"hours": 40}]},
        {"inputs": {"hours": [40]}, "canary": 1},
        {"inputs": {"hours": [40]}, "signature_name": "canary"},
        {"inputs": {"hours": [40]}, "signature_name": ["canary"]},
        {"instances": []},
        {"instances": {"hours": 40}},
        {"instances": [{"hours": 40}, 7]},
        {"instances": [{"hours": 40}, None]},
        {"instances": [{"hours": 40}, {"nobody": 1}]},
        {"instances": [{}]},
        {"instances": [{"features": [0] * 8}, {"features": [0] * 7}]},
        {"instances": [{"features": [0] * 8}, {"hours": 40}]},
        {"instances": [[0] * 8, [0] * 7]},
        {"instances": [[[]]]},
        {"instances": [[0] * 7 + ["canary"]]},
        {"instances": [[0] * 7 + [None]] * 2 + [[None]]},
    ],
    ids=json.dumps,
)
def test_a_tf_serving_body_that_cannot_be_is_invalid(body, protocol):
    assert protocol.send(json.dumps(body).encode()).status == "INVALID_ARGUMENT"


GOOD_TENSOR = {"name": "hours", "shape": [1], "datatype": "FP64", "data": [40]}


@rest_kserve
@pytest.mark.parametrize(
    "body",
    [
        {"inputs": 7},
        {"inputs": []},
        {"inputs": [7]},
        {"inputs": {"hours": [40]}},
        {"inputs": [{}]},
        *({"inputs": [{**GOOD_TENSOR, "name": name}]} for name in (None, 7, ["hours"], "")),
        *(
            {"inputs": [{**GOOD_TENSOR, "shape": shape}]}
            for shape in (
                None,
                1,
                "1",
                [None],
                [1.0],
                [True],
                ["1"],
                [],
                [-1],
                [2],
                [2**62],
                [10**30],
                [1, 2],
                [1] * 99,
            )
        ),
        *({"inputs": [{**GOOD_TENSOR, "datatype": kind}]} for kind in (None, 7, [], {}, ["FP64"], "canary", "fp64")),
        *(
            {"inputs": [{**GOOD_TENSOR, "data": data}]}
            for data in (None, 40, "40", {"0": 40}, [], [40, 41], [[40, 41]])
        ),
        {"inputs": [GOOD_TENSOR], "outputs": "grade"},
        {"inputs": [GOOD_TENSOR], "outputs": [None]},
        {"inputs": [GOOD_TENSOR], "outputs": ["grade"]},
        {"inputs": [GOOD_TENSOR], "outputs": [{"name": 7}]},
        {"inputs": [GOOD_TENSOR], "outputs": [{"name": "canary"}]},
        {"inputs": [{**GOOD_TENSOR, "name": "features", "data": [], "shape": [0, 10**30]}]},
        {"inputs": [{**GOOD_TENSOR, "name": "features", "data": [], "shape": [0, 2**62, 2**62]}]},
        {"inputs": [{**GOOD_TENSOR, "name": "features", "data": [0] * 8, "shape": [8]}]},
        {"inputs": [{**GOOD_TENSOR, "datatype": "INT32", "data": ["40"]}]},
    ],
    ids=json.dumps,
)
def test_a_kserve_body_that_cannot_be_is_invalid(body, protocol):
    assert protocol.send(json.dumps(body).encode()).status == "INVALID_ARGUMENT"


@rest_kserve
@pytest.mark.parametrize("id_", ["\ud800", 7, None, ["canary"]])
def test_a_strange_id_does_not_hurt_the_answer(id_, protocol):
    outcome = protocol.send(json.dumps({"id": id_, "inputs": [GOOD_TENSOR]}).encode())
    assert outcome.status in {"OK", "INVALID_ARGUMENT"}, outcome


@rest_tf
def test_rows_without_end_of_unknown_names_are_refused_at_once(protocol):
    rows = [{f"n{number}": 1} for number in range(4000)]
    assert protocol.send(json.dumps({"instances": rows}).encode()).status == "INVALID_ARGUMENT"


@rest
def test_the_binary_tensor_extension_is_refused_in_words(protocol):
    outcome = protocol.send(b"{}", Inference_Header_Content_Length="2")
    assert outcome.status == "INVALID_ARGUMENT"
    assert "binary" in outcome.message


@rest
def test_a_compressed_body_is_read(protocol):
    packed = gzip.compress(protocol.encode(ask(hours=[40])))
    assert protocol.send(packed, Content_Encoding="gzip").status == "OK"


@pytest.mark.parametrize("pause", [0, 0.05])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "canary"])
def test_a_body_that_is_not_encoded_as_its_headers_say_is_invalid_however_it_arrives(encoding, pause, strict):
    host, port = strict.http.split(":")
    body = b"canary" * 10
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Encoding: {encoding}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        time.sleep(pause)
        connection.sendall(body)
        assert connection.recv(65536).split(b" ", 2)[1] == b"400"


@pytest.mark.slow
def test_a_body_that_never_comes_is_given_up(strict):
    host, port = strict.http.split(":")
    with socket.create_connection((host, int(port)), timeout=40) as connection:
        connection.sendall(b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert connection.recv(65536).split(b" ", 2)[1] == b"504"


@rest
def test_a_small_body_that_unpacks_into_a_large_one_is_too_large(protocol):
    bomb = gzip.compress(b" " * (100 * MAX_BYTES))
    assert len(bomb) < MAX_BYTES
    assert protocol.send(bomb, Content_Encoding="gzip").status == "RESOURCE_EXHAUSTED"


@rest
def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_no_trace(protocol, strict):
    host, port = strict.http.split(":")
    for sent in (b"", b'{"inputs": {"hours": [77.4375'):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST {protocol.path(ask())} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
            connection.sendall(head.encode() + sent)


@pytest.mark.parametrize(
    "head",
    [
        b"canary\r\n\r\n",
        b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n",
        b"GET /v1/models/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1/models/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1/models/%ED%A0%80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v2/models/../../metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 20000 + b"\r\n\r\n",
    ],
)
def test_http_that_is_none_gets_a_client_error(head, strict):
    host, port = strict.http.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head)
        status = connection.recv(65536).split(b" ", 2)[1]
    assert status.startswith(b"4"), status
