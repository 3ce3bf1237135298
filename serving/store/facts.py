"""What feeds say of entities: plain values, as they come from a protocol and go back to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_FACTS = 256
"""Facts of one entity."""
MOST_SERIES = 64
"""Monthly facts of one entity."""
MOST_SOURCES = 255
LONGEST_NAME = 64
"""Bytes of the name of a fact or source, in UTF-8."""
LONGEST_TEXT = 255
"""Bytes of a fact that is a text, in UTF-8."""
LONGEST_ID = 256
"""Bytes of an entity's id, in UTF-8."""


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """When something was so, and who said it. Of two stamps the greater one counts."""

    as_of: int
    """Milliseconds since 1970-01-01 UTC."""
    sequence: int
    """0 to 2**64 - 1: order among what one source says of one time."""
    source: str


@dataclass(frozen=True, slots=True)
class Months:
    """Consecutive months of one fact. first: months since January 1970; values: float64[m], NaN: nothing is said."""

    first: int
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class FactsEvent:
    """What one source said of one entity at one time. Has no repr: it is about a person."""

    entity_type: str
    entity: str
    stamp: Stamp
    facts: Mapping[str, float | str | None] = field(default_factory=dict)
    """None: known to be missing."""
    series: Mapping[str, Months] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class StoredSeries:
    """A stored monthly fact; stamps: one a month, None where nothing is known (and the value is NaN)."""

    months: Months
    stamps: tuple[Stamp | None, ...]


@dataclass(frozen=True, slots=True, repr=False)
class StoredFacts:
    """Everything that is stored of one entity, names in the order of their UTF-8 bytes."""

    facts: Mapping[str, tuple[float | str | None, Stamp]]
    series: Mapping[str, StoredSeries]
