"""Lines that stand together under one id are one row: its histories end with its newest month.

What is no history is read from the line of that month. As in `epm predict`.
"""

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from serving.batch.inputs import MOST_KNOWN, NOT_A_NUMBER, Batch, Inputs, Layout
from serving.batch.lines import Lines, Rows, Source
from serving.batch.seen import Seen
from serving.contract import MOST_MONTHS
from serving.errors import InvalidInput
from serving.facts_files import month_number
from serving.features.histories import MonthlyCells

MOST_LINES = 1 << 17
"""Of one id: more months than there are."""
NOT_A_MONTH = ("no month", "a month as in 2026-03 or 202603, or a date")
NOT_LATER = ("a month that is not later", "a later month than in the line above")


def whole_entities(source: Source, layout: Layout, most: int) -> tuple[Lines, Rows] | None:
    """The next lines of whole entities, about `most` of them, and where each entity begins. None at the end.

    The last entity waits for the next time, unless the file ends with it. Raises InvalidInput for a line of which
    nobody knows whose month it is.
    """
    while True:
        lines: Lines | None = source.look(most)
        if lines is None:
            return None
        if lines.wrong.size:
            place = int(lines.places[lines.wrong[0]])
            raise InvalidInput(f"{source.place} {place}: got a line, expected as many cells as the header has")
        begins = np.cumsum([0, *(len(list(group)) for _, group in groupby(lines.texts(layout.id)))])
        if lines.last:
            return lines, begins[:-1]
        if len(begins) > 2:
            return source.look(int(begins[-2])), begins[:-2]
        if most > MOST_LINES:
            raise InvalidInput(f"{source.place} {int(lines.places[0])}: an entity with more months than there are")
        most *= 2


class Histories:
    """Reads rows that have histories."""

    def __init__(self, inputs: Inputs, layout: Layout) -> None:
        self._inputs, self._layout = inputs, layout
        self.seen = Seen()
        self._months: dict[str, int] = {}

    def read(self, lines: Lines, begins: Rows) -> Batch:
        """One row an entity. begins: the line on which each entity begins. Raises InvalidInput for one met before."""
        n = len(lines)
        newest = np.append(begins[1:], n) - 1
        batch = self._inputs.read(lines, newest)
        again, batch.hashes = self.seen.add(batch.ids)
        if again >= 0:
            place, name = int(lines.places[begins[again]]), self._layout.id
            raise InvalidInput.cell(name, f"an id that has stood above in line {place}", "its months together")
        entity = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, n)))
        months = self._numbers_of_months(lines, entity, batch)
        earlier = np.flatnonzero((entity[1:] == entity[:-1]) & (months[1:] <= months[:-1])) + 1
        self._refuse(batch, lines, entity, earlier, self._layout.month, NOT_LATER)
        back = months[newest][entity] - months
        used = (back >= 0) & (back < MOST_MONTHS)
        for raw in self._inputs.monthly:
            cells, wrong = lines.numbers(raw.name)
            self._refuse(batch, lines, entity, wrong[used[wrong]], raw.name, NOT_A_NUMBER)
            values = np.full((len(begins), MOST_MONTHS), np.nan)
            values[entity[used], MOST_MONTHS - 1 - back[used]] = cells[used]
            batch.columns[raw.name] = MonthlyCells(values, np.full(len(begins), MOST_MONTHS, np.int64))
        return batch

    def _numbers_of_months(self, lines: Lines, entity: Rows, batch: Batch) -> NDArray[np.int64]:
        texts, known = lines.texts(self._layout.month), self._months
        if len(known) > MOST_KNOWN:
            known.clear()
        wrong = []
        for text in dict.fromkeys(texts):
            if text not in known:
                try:
                    known[text] = month_number(text.strip())
                except ValueError:
                    wrong.append(text)
        if wrong:
            refused = set(wrong)
            rows = np.array([row for row, text in enumerate(texts) if text in refused], np.int64)
            self._refuse(batch, lines, entity, rows, self._layout.month, NOT_A_MONTH)
        return np.array([known.get(text, -1) for text in texts], np.int64)

    def _refuse(self, batch: Batch, lines: Lines, entity: Rows, wrong: Rows, name: str, said: tuple[str, str]) -> None:
        for line in wrong.tolist():
            row = int(entity[line])
            places = np.full(row + 1, lines.places[line])
            batch.refuse([row], places, name, said)
