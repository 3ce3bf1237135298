"""Kernels that go outside of their arrays: `python -m tests.h2.outside NAME` runs one. Only for builds with checks."""

import sys
from typing import Any

import numpy as np
from numba import types

from serving.jit import callback, kernel
from serving.listeners.h2 import memory_kernels as at


@kernel
def word(address, place):
    return at.words(address, 4)[place]


@kernel
def octet_row(address, place):
    return at.octet_rows(address, 4, 2)[place, 1]


@kernel
def single_plane(address, place):
    return at.single_cube(address, 4, 1, 1)[place, 0, 0]


@kernel
def written(address, place):
    at.octets(address, 4)[place] = 1
    return 0


@callback(types.int64(types.int64, types.int64))
def called(address, place):
    return at.words(address, 4)[place] + 7


KERNELS: dict[str, Any] = {each.__name__: each for each in (word, octet_row, single_plane, written)}


def main(name: str) -> int:
    """Inside first, then one place outside."""
    cells = np.zeros(64, np.int64)
    if name == "called":
        called.compile()
        print([called.ctypes(cells.ctypes.data, place) for place in (3, 4)])
        return 0
    run = KERNELS[name]
    run(cells.ctypes.data, 3)
    try:
        run(cells.ctypes.data, 4)
    except IndexError:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(max(main(name) for name in sys.argv[1:]))
