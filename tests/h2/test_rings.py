"""What Python says to a loop goes through a ring that never grows: in order, and what it can never hold is refused."""

import pytest

from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.rings import Ring, ToLoop

pytestmark = pytest.mark.unit

SIZE = 4096


def _taken(of: Ring) -> list[tuple[int, int, bytes]]:
    """All records that are there: kind, stream, bytes of the message; their places are free then."""
    found = []
    done, written = int(of.words[ring.DONE]), ring.written(of.address)
    while done < written:
        start = done % len(of.data)
        head = of.data[start : start + 8 * ring.REPLY].view("int64")
        if head[ring.KIND] != ring.SKIP:
            message = of.data[start + 8 * ring.REPLY :][: max(head[ring.MESSAGE_BYTES], 0)]
            found.append((int(head[ring.KIND]), int(head[ring.STREAM]), message.tobytes()))
        done += int(head[ring.BYTES])
    ring.read_until(of.address, done)
    return found


def test_records_come_in_order_however_they_lie_in_the_ring() -> None:
    to_loop, told, came = ToLoop(SIZE), [], []
    for number in range(500):
        message = bytes([number % 256]) * (number * 37 % 1500)
        assert to_loop.say(ring.ANSWER, number, 1, 0, message, b"")
        told.append((ring.ANSWER, number, message))
        if number % 3 == 0:
            came += _taken(to_loop.ring)
            to_loop.settle()
    while not to_loop.settle():
        came += _taken(to_loop.ring)
    assert came + _taken(to_loop.ring) == told


def test_a_message_that_the_ring_can_never_hold_ends_its_call() -> None:
    to_loop = ToLoop(SIZE)
    assert to_loop.say(ring.ANSWER, 1, 1, 0, b"x" * to_loop.most, b"")
    assert not to_loop.say(ring.ANSWER, 2, 1, 0, b"x" * (to_loop.most + 1), b"")
    assert to_loop.say(ring.FINISH, 3, 1, 0, b"", b"")
    came = _taken(to_loop.ring)
    while not to_loop.settle():
        came += _taken(to_loop.ring)
    came += _taken(to_loop.ring)
    assert [(kind, stream) for kind, stream, _ in came] == [(ring.ANSWER, 1), (ring.FINISH, 2), (ring.FINISH, 3)]


@pytest.mark.parametrize("size", [4096, 4097, 5001])
def test_a_ring_may_have_any_size(size: int) -> None:
    assert len(Ring(size).data) >= size
    assert len(Ring(size).data) % 16 == 0
