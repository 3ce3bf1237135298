"""A table in memory: named columns as NumPy arrays, the target, and who each row belongs to."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[Any]
"""n cells of a column: float64 with NaN for missing, or str with "" for missing.

A history has a row of months for each cell: float64[n, T], the oldest first, NaN for a month that is missing.
"""


@dataclass(frozen=True)
class Table:
    """n rows. Columns, attributes: arrays of n cells; target: int64[n], positions in `classes`; groups: str[n]."""

    columns: dict[str, Cells]
    target: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: NDArray[Any]
    """Rows of one group (an employee) never stand on both sides of a split."""
    attributes: dict[str, Cells] = field(default_factory=dict)
    """What is known of the rows and is no model input."""
    true_probabilities: NDArray[np.float64] | None = None
    """float64[n, C], known only where the data was generated."""
    horizon: int = 0
    """Months from the month of a row (attribute "month") until its answer is known."""

    def __len__(self) -> int:
        return len(self.target)

    def rows(self, which: NDArray[Any]) -> "Table":
        """The rows at positions (or under the mask) `which`."""
        return replace(
            self,
            columns={name: cells[which] for name, cells in self.columns.items()},
            target=self.target[which],
            groups=self.groups[which],
            attributes={name: cells[which] for name, cells in self.attributes.items()},
            true_probabilities=None if self.true_probabilities is None else self.true_probabilities[which],
        )

    def sha256(self) -> str:
        """Digest of everything in the table, the same on every machine."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        named = {**self.columns, **{f"attribute {name}": cells for name, cells in self.attributes.items()}}
        for name, cells in {**named, "target": self.target, "groups": self.groups}.items():
            digest.update(name.encode() + b"\0")
            if cells.dtype.kind == "U":
                digest.update("\0".join(cells.tolist()).encode())
            else:
                digest.update(cells.astype("<f8").tobytes())
        return digest.hexdigest()
