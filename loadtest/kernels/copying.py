"""What one core of this machine copies, from memory to memory and within its second-level cache."""

import numpy as np

from loadtest.kernels.case import Effort, take_turns

MEMORY, CACHE = 128 << 20, 256 << 10
"""Bytes of the array that is copied: more than any cache holds; and, with its copy, what the second level holds."""


def bandwidth(effort: Effort, memory: int = MEMORY) -> dict[str, list[float]]:
    """GB/s round by round, `memory` and `cache`. What is read and what is written both count."""
    calls, sizes = {}, {"memory": memory, "cache": CACHE}
    for name, size in sizes.items():
        source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
        calls[name] = lambda _, source=source, target=target: np.copyto(target, source)
    return {name: [2 * sizes[name] / us / 1e3 for us in found] for name, found in take_turns(calls, effort).items()}
