"""Header blocks are remembered only where the same bytes always mean the same."""

import hpack
import pytest

from loadtest.h2.headers import HeaderError, HeaderReader

pytestmark = pytest.mark.unit


def test_a_server_that_keeps_its_table_is_read_with_state():
    encoder, reader = hpack.Encoder(), HeaderReader()
    blocks = [encoder.encode([("grpc-status", str(status))]) for status in (0, 0, 5, 0, 5, 7)]
    assert blocks[1] == blocks[3].replace(b"\xbf", b"\xbe")  # one meaning, two encodings: the table is in use
    assert [reader.read(block)[1] for block in blocks] == [0, 0, 5, 0, 5, 7]
    assert not reader.stateless


def test_a_server_that_gives_its_table_up_is_read_without_state_from_then_on():
    encoder, reader = hpack.Encoder(), HeaderReader()
    encoder.header_table_size = 0
    blocks = [encoder.encode([(":status", "200"), ("grpc-status", str(status))]) for status in (0, 3, 0)]
    assert blocks[0][0] == 0x20
    assert [reader.read(block) for block in blocks] == [(200, 0), (200, 3), (200, 0)]
    assert reader.stateless


@pytest.mark.parametrize(
    "block", [b"\xbe", b"\x3f\xe1\x1f\x88", b"\x88\xff\xff", b"\x08\x03200\x00\x0bgrpc-status\x01x"]
)
def test_after_that_a_use_of_the_table_and_broken_blocks_are_errors(block):
    reader = HeaderReader()
    reader.read(b"\x20\x88")
    with pytest.raises(HeaderError):
        reader.read(block)


def test_blocks_that_always_differ_are_not_remembered_without_end():
    reader = HeaderReader()
    reader.read(b"\x20\x88")
    for number in range(10_000):
        text = f"{number:08}".encode()
        assert reader.read(b"\x00\x0bgrpc-status\x013\x00\x0cgrpc-message\x08" + text) == (None, 3)
    assert len(reader._known) < 5_000
