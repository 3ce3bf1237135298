"""Recorded bodies come back as they were written; a file that is none is told; a line of every call is logged."""

import random

import numpy as np
import pytest

from loadtest.h2.client import Load, run
from loadtest.measure import MeasurementError
from loadtest.rates import log, recorded
from loadtest.rates.recorded import Recording
from tests.loadtest.fake_server import FakeServer, answer

METHODS = ("/a.B/C", "/d.E/F", "/a.B/G")


def recording(count=50):
    source = random.Random(1)
    bodies = [source.randbytes(source.choice((0, 1, 300, 70_000))) for _ in range(count)]
    return Recording("some", 64, [source.choice(METHODS) for _ in bodies], bodies)


@pytest.mark.unit
@pytest.mark.parametrize("count", [0, 1, 50])
def test_bodies_come_back_with_their_methods(tmp_path, count):
    made = recording(count)
    recorded.write(made, tmp_path / "bodies")
    assert recorded.read(tmp_path / "bodies") == made


@pytest.mark.unit
def test_a_file_that_was_cut_off_anywhere_is_told(tmp_path):
    file = tmp_path / "bodies"
    recorded.write(Recording("some", 1, METHODS, [b"first", b"", b"third body"]), file)
    whole = file.read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(MeasurementError, match="bodies"):
            recorded.read(file)
    file.write_bytes(whole + b"\0")
    with pytest.raises(MeasurementError, match="cut off"):
        recorded.read(file)


@pytest.mark.unit
@pytest.mark.parametrize(
    "header", ["[]", "null", "{", '{"name": "x"}', '{"name": "x", "rows": 1, "methods": ["/a"], "count": "many"}']
)
def test_a_header_that_is_none_is_told(tmp_path, header):
    file = tmp_path / "bodies"
    file.write_bytes(b"epm-bodies 1\n" + header.encode() + b"\n")
    with pytest.raises(MeasurementError, match="cannot be read"):
        recorded.read(file)


@pytest.mark.unit
def test_a_body_of_a_method_that_is_not_there_is_told(tmp_path):
    file = tmp_path / "bodies"
    file.write_bytes(
        b'epm-bodies 1\n{"name": "x", "rows": 1, "methods": ["/a"], "count": 1}\n\x01\x00\x01\x00\x00\x00x'
    )
    with pytest.raises(MeasurementError, match="cannot be read"):
        recorded.read(file)


@pytest.mark.integration
def test_every_call_has_its_line_in_the_log(tmp_path):
    def respond(stream):
        return answer(stream, last=b"\x00\x0bgrpc-status\x01" + (b"8" if stream == 21 else b"0"))

    with FakeServer(respond) as server:
        bodies = [bytes([number]) for number in range(40)]
        result = run(Load(address=server.address, path="/a.B/C", bodies=bodies, calls=40, distinct=1, rate=500.0))
    file = tmp_path / "log"
    log.append(file, result)
    log.append(file, result)
    lines = np.loadtxt(file, dtype=np.int64, delimiter="\t")
    assert lines.shape == (80, 3)
    np.testing.assert_array_equal(lines[:40], lines[40:])
    assert sorted(lines[:40, 1])[-2:] == [0, 8]
    np.testing.assert_array_equal(lines[:40, 2], result.latencies_ns // 1000)
    np.testing.assert_allclose(np.sort(np.diff(np.sort(lines[:40, 0]))), 2000, atol=2)
    assert abs(lines[0, 0] / 1e6 - result.epoch) < 1e-3
