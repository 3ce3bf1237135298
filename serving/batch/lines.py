"""What every kind of input file gives: lines, some at a time, and their columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from serving.csv_text.columns import Names

Rows = NDArray[np.int64]
Read = Callable[[str], float | None]
"""A text as a number, or None where it cannot be one."""
Kind = Literal["text", "whole", "fraction", "day"]
Position = dict[str, int]
"""Where reading goes on, as plain values."""


@dataclass(frozen=True)
class Reason:
    """Why a row has no answer: the line (or row) of the file, and the usual sentence without any value of anybody."""

    place: int
    field: str
    came: str
    expected: str


class Lines(Protocol):
    """n lines. Columns are asked for by name, in any order."""

    places: Rows
    """Number of each line in the file."""
    wrong: Rows
    """Those with another number of cells than the header has."""
    last: bool
    """Whether the file ends with them. It may end unnoticed."""

    def __len__(self) -> int: ...

    def texts(self, name: str) -> list[str]:
        """Cells as they are; an empty text where nothing stands."""
        ...

    def numbers(self, name: str) -> tuple[NDArray[np.float64], Rows]:
        """Numbers, NaN where nothing stands; and the rows that hold no number."""
        ...

    def names(self, name: str, known: Names, read: Read) -> tuple[NDArray[np.float64], Rows]:
        """Places of known names, what `read` makes of others, NaN where nothing stands; and the rows it refuses."""
        ...


class Source(Protocol):
    """A file being read. Everything that is wrong with it raises InvalidInput."""

    header: Sequence[str]
    place: str
    """What `places` are: "line" or "row"."""
    size: int
    """How much there is to read, 0 if nobody knows; `done` counts in the same unit."""

    @property
    def done(self) -> int: ...

    @property
    def position(self) -> Position:
        """Behind the lines that were taken."""
        ...

    def kind(self, name: str) -> Kind:
        """What a column holds; of CSV texts, whatever they say."""
        ...

    def want(self, names: Sequence[str]) -> None:
        """Say which columns are to be read. Raises InvalidInput where one holds what no column can."""
        ...

    def go_to(self, position: Position) -> None:
        """Go on from where another run was."""
        ...

    def look(self, most: int) -> Any:
        """The next `Lines`; the same again until they are taken. None at the end."""
        ...

    def take(self, lines: Any, count: int) -> None:
        """The first `count` of the lines that were looked at have been dealt with."""
        ...
