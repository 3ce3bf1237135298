"""What a reader of an answer should know of its row, in words: the same for equal marks, so made once for each."""

import numpy as np
from numpy.typing import NDArray

from serving import texts
from serving.batch.tables import Texts
from serving.contract import Contract, Text

MOST_KNOWN = 1 << 16
"""Different notes that are remembered."""
STATES = (texts.MISSING, texts.UNKNOWN_CATEGORY, texts.OUT_OF_TRAINING_RANGE, texts.STALE)
"""Bit by bit what a mark of `row_kernels` means."""


class Notes:
    """Notes of one contract's rows."""

    def __init__(self, contract: Contract) -> None:
        self._names = [raw.name for raw in contract.inputs]
        self._least = float(contract.min_coverage)
        self._known: dict[bytes, str] = {}

    def of(self, coverage: NDArray[np.float32], marks: NDArray[np.uint8]) -> Texts:
        """coverage: float32[n]; marks: uint8[n, inputs]."""
        n = len(coverage)
        keys = np.empty((n, marks.shape[1] + 1), np.uint8)
        keys[:, 0], keys[:, 1:] = coverage < self._least, marks
        data, width = keys.tobytes(), keys.shape[1]
        codes, places = np.zeros(n, np.int64), {bytes(width): 0}
        different = [""]
        for row in np.flatnonzero(keys.any(axis=1)).tolist():
            key = data[row * width : (row + 1) * width]
            place = places.get(key)
            if place is None:
                place = places[key] = len(different)
                different.append(self._text(key))
            codes[row] = place
        return Texts(different, codes)

    def _text(self, key: bytes) -> str:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = self._made(key)
        return known

    def _made(self, key: bytes) -> str:
        found: dict[Text, list[str]] = {texts.LOW_COVERAGE: []} if key[0] else {}
        for name, mark in zip(self._names, key[1:], strict=True):
            for bit, text in enumerate(STATES):
                if mark & (1 << bit):
                    found.setdefault(text, []).append(name)
        return "; ".join(
            f"{texts.both(text)}: {', '.join(of)}" if of else texts.both(text) for text, of in found.items()
        )
