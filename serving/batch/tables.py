"""A table of answers: columns of numbers and of texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Texts:
    """A column of texts, most of which occur again and again: codes: int64[n], their places in `different`."""

    different: Sequence[str]
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)


Column = NDArray[np.float32] | NDArray[np.int64] | Texts
Table = dict[str, Column]
"""Columns of n rows by name, in order: measures as float32[n], whole numbers as int64[n], texts."""


def outline(table: Table) -> Table:
    """The same columns without rows."""
    return {name: Texts([], of.codes[:0]) if isinstance(of, Texts) else of[:0] for name, of in table.items()}
