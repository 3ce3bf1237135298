"""All that is served, as flat arrays for the loops (`table_kernels`)."""

from collections.abc import Callable, Mapping

import numpy as np

from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.flat import MOST_ROWS, Flat
from serving.listeners.h2.memory import Memory
from serving.repository.repository import ModelState
from serving.repository.served import ServedModel


class Table:
    """Everything that is served at one moment."""

    def __init__(
        self,
        models: Mapping[str, ModelState],
        flat: Callable[[ServedModel], Flat],
        loops: int,
        most_rows: int = MOST_ROWS,
    ) -> None:
        """flat: of each version, the same one every time; most_rows: of a call that loops answer, up to MOST_ROWS."""
        self._memory = Memory()
        asked: list[list[int]] = []
        self.flats: list[Flat] = []
        for name, state in models.items():
            if state.newest is None:
                continue
            made = {version: flat(served) for version, served in state.served.items()}
            self.flats += made.values()
            text = self._memory.text(name.encode())
            asked.append([*text, to.NEWEST, 0, 0, 0, made[state.newest.version].words.ctypes.data, 0])
            for version, one in made.items():
                asked.append([*text, to.BY_VERSION, version, 0, 0, one.words.ctypes.data, 0])
            for label, version in state.labels.items():
                if version in made:
                    asked.append(
                        [*text, to.BY_LABEL, 0, *self._memory.text(label.encode()), made[version].words.ctypes.data, 0]
                    )
        sizes = {
            held.REQUEST: 8 * to.REQUEST,
            held.COLUMNS: 8 * to.MOST_COLUMNS * to.COLUMN,
            held.WANTED: 16 * to.MOST_WANTED,
            held.CHOSEN: 8 * to.MOST_WANTED,
            held.HINTS: 8 * to.MOST_COLUMNS,
            held.LABEL: 4 * MOST_ROWS,
            held.MARGIN: 4 * MOST_ROWS,
            held.COVERAGE: 4 * MOST_ROWS,
            held.WRONG: MOST_ROWS,
            held.WHERE: 16 * MOST_ROWS,
            held.TIMES: 8 * count.TIMES,
            held.FOUND: 8 * held.FOUND_WORDS,
        }
        for one in self.flats:
            for what, size in one.sizes.items():
                sizes[what] = max(sizes.get(what, 0), size)
        words = np.zeros(held.TABLE, np.int64)
        at = 0
        for what, size in sizes.items():
            words[what] = at
            at += -(-size // 64) * 64
        models_ = np.array([one.words.ctypes.data for one in self.flats] or [0], np.int64)
        words[held.MODELS], words[held.MODEL_COUNT] = self._memory.address(models_), len(self.flats)
        questions = np.array(asked or [[0] * held.QUESTION], np.int64)
        words[held.ASKED], words[held.ASKED_COUNT] = self._memory.address(questions), len(asked)
        words[held.SCRATCH] = self._memory.address(np.zeros(loops * at + 64, np.uint8), aligned=64)
        words[held.SCRATCH_SIZE], words[held.MOST_ROWS] = at, most_rows
        words[held.ANSWER_SIZE] = sizes.get(held.ANSWER, 0)
        self.address = self._memory.address(words)
