"""Bytes that streams and connections hold: from malloc, within the loop's bound."""

from serving.jit import general, general_inlined
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2.libc_kernels import free, malloc
from serving.listeners.h2.memory_kernels import copy, octets

LEAST = 1024


@general
def room_for(loop, row, where, more):
    """Make room for `more` bytes behind those of a buffer; whether there is.

    row[where : where + 3]: address, room and bytes of the buffer.
    """
    size = row[where + 2]
    if row[where + 1] - size >= more:
        return True
    room = max(LEAST, row[where + 1])
    while room - size < more:
        room *= 2
    if loop[at.MEMORY] + room > loop[at.MEMORY_LIMIT]:
        return False
    address = malloc(room)
    if address == 0:
        return False
    loop[at.MEMORY] += room
    if size:
        copy(octets(row[where], size), 0, size, octets(address, room), 0)
    give_back(loop, row, where)
    row[where], row[where + 1], row[where + 2] = address, room, size
    return True


@general_inlined
def give_back(loop, row, where):
    """Free a buffer; it is empty then."""
    if row[where]:
        free(row[where])
        loop[at.MEMORY] -= row[where + 1]
    row[where] = row[where + 1] = row[where + 2] = 0


@general
def append(loop, row, where, source, start, count):
    """Add source[start : start + count] to a buffer; False where there is no memory for it."""
    if not room_for(loop, row, where, count):
        return False
    copy(source, start, count, octets(row[where], row[where + 1]), row[where + 2])
    row[where + 2] += count
    return True
