"""One part of the output while it is written: answers, and the rows that have none."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from serving.batch import csv_sink, parquet_sink
from serving.batch.files import create, finish
from serving.batch.lines import Position, Reason
from serving.batch.options import CSV
from serving.batch.partial import Partial
from serving.batch.tables import Table

REJECTED = ("field", "reason")


@dataclass(frozen=True)
class Done:
    """What stands in a part: whole chunks, and the position behind them."""

    chunks: int
    rows: int
    rejected: int
    position: Position


class Part:
    """Written chunk by chunk."""

    def __init__(self, partial: Partial, number: int, out_format: str, id_column: str, outline: Table) -> None:
        make = csv_sink.CsvPart if out_format == CSV else parquet_sink.ParquetPart
        self._rows = make(partial.part(number), id_column, outline)
        self._rejected = create(partial.rejected(number))
        self._hashes = create(partial.hashes(number))
        self._begun = 0
        self.done = Done(0, 0, 0, {})

    @property
    def whole(self) -> bool:
        """Whether no chunk was cut off while it was written, and there is one."""
        return self._begun == self.done.chunks > 0

    def write(
        self, ids: Sequence[str], table: Table, reasons: Sequence[Reason], hashes: bytes, position: Position
    ) -> None:
        """One chunk: the rows that were answered, why others were not, the ids of all, and where reading goes on."""
        self._begun += 1
        self._rows.write(ids, table)
        self._rejected.write(rejections(reasons))
        self._hashes.write(hashes)
        done = self.done
        self.done = Done(self._begun, done.rows + len(ids), done.rejected + len(reasons), position)

    def close(self) -> None:
        """All of it is on disk."""
        finish(self._rows.close())
        finish(self._rejected)
        finish(self._hashes)


def rejections(reasons: Sequence[Reason]) -> bytes:
    """Lines of OUT.rejected.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(
        (reason.place, reason.field, f"got {reason.came}, expected {reason.expected}") for reason in reasons
    )
    return text.getvalue().encode()
