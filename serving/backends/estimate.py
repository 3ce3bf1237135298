"""How long a batch of so many rows takes, learned while batches are executed."""

from dataclasses import dataclass

RECENT = 1 / 16
"""The weight of the newest batch; what came before fades by the same share."""
OUTLIER = 4.0
"""A batch counts as at most so many times what was expected of it: a pause of the process teaches little."""


@dataclass(slots=True)
class Estimate:
    """seconds(rows) = fixed + per_row * rows: a line through the latest batches, neither part ever below zero.

    Knows nothing before the first batch and says 0; as long as all batches had the same size, more rows cost nothing
    more. Both are bold: who takes them at their word makes a larger batch, and from that one it learns.
    """

    fixed: float = 0.0
    per_row: float = 0.0
    _batches: int = 0
    _rows: float = 0.0
    _seconds: float = 0.0
    _variance: float = 0.0
    _covariance: float = 0.0

    def seconds(self, rows: int) -> float:
        """What a batch of so many rows is expected to take."""
        return self.fixed + self.per_row * rows

    def learn(self, rows: int, seconds: float) -> None:
        """A batch of so many rows took so long."""
        self._batches += 1
        if self._batches > 3:
            seconds = min(seconds, OUTLIER * self.seconds(rows) + 1e-6)
        weight = max(RECENT, 1 / self._batches)
        more_rows, more_seconds = rows - self._rows, seconds - self._seconds
        self._rows += weight * more_rows
        self._seconds += weight * more_seconds
        self._variance = (1 - weight) * (self._variance + weight * more_rows * more_rows)
        self._covariance = (1 - weight) * (self._covariance + weight * more_rows * more_seconds)
        slope = self.per_row
        if self._variance > 0.01:  # below: sizes hardly differ, what is known of a row stays
            slope = self._covariance / self._variance
        self.per_row = min(max(slope, 0.0), self._seconds / self._rows) if self._rows else 0.0
        self.fixed = self._seconds - self.per_row * self._rows

    def learn_at_least(self, rows: int, seconds: float) -> None:
        """A batch of so many rows was given up after so long."""
        if seconds > self.seconds(rows):
            self.learn(rows, seconds)
