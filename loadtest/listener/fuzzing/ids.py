"""Entities whose facts a store has, and random ids of them."""

import math
import time
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np

from loadtest.listener.fuzzing import columns as raw
from serving.contract import Contract
from serving.store.facts import LONGEST_TEXT, FactsEvent, Months, Stamp

KNOWN = 200
SHARE = 0.15
"""Of requests that ask by id."""
MONTH_MS = 30 * 86_400_000
FIRST_MONTH = 660
_ODD = ("", "nobody", "研发", "e" * 300, "e-1\0", "\udcff")


def drawn(random: Random, n: int, odd: float) -> list[raw.Cell]:
    """Ids of n rows; some say nothing, or of nobody."""
    return [random.choice(_ODD) if random.random() < odd / 4 else _id(random.randrange(KNOWN)) for _ in range(n)]


def events(contracts: Sequence[Contract]) -> Iterator[FactsEvent]:
    """What is stored, the same at each call: facts that all of these models read, a few of a wrong type."""
    random, now = Random(KNOWN), int(time.time() * 1000)
    for number in range(KNOWN):
        facts: dict[str, float | str | None] = {}
        series: dict[str, Months] = {}
        for contract in contracts:
            for column in raw.draw(random, contract, 1, 0.0):
                cells = [math.nan if cell in column.missing else value for cell, value in enumerate(column.cells)]
                if column.months:
                    series[column.name] = Months(FIRST_MONTH + random.randrange(3), np.array(cells, np.float64))
                elif not column.missing:
                    facts[column.name] = "text" if random.random() < 0.003 else _fact(column.cells[0])
        stamp = Stamp(now - random.randrange(1, 40) * MONTH_MS, 1, "fuzz")
        yield FactsEvent(contracts[0].entity_type, _id(number), stamp, facts, series)


def _fact(cell: raw.Cell) -> raw.Cell:
    """As a feed may say it."""
    return cell.encode("utf-8", "replace").decode()[:LONGEST_TEXT] if isinstance(cell, str) else cell


def _id(number: int) -> str:
    return f"e-{number}"
