"""Rows become answers: the gateway's own rows, features and backends, without a server between."""

import numpy as np
from numpy.typing import NDArray

from serving import texts
from serving.backends.backend import Tensors
from serving.backends.chain import Chain
from serving.batch.inputs import Batch
from serving.batch.lines import Reason
from serving.batch.notes import Notes
from serving.batch.tables import Table, Texts
from serving.contract import (
    ClassOutput,
    DateInput,
    Output,
    ProbabilityOutput,
    RankingOutput,
    RawInput,
    ScalarOutput,
)
from serving.errors import EpmError, InvalidInput
from serving.features.rows import Inspection, RawRows
from serving.repository.served import ServedModel


class Answers:
    """Answers batches of one served version."""

    def __init__(self, served: ServedModel) -> None:
        self._served, self._chain = served, Chain(served.backends)
        self._notes = Notes(served.contract)

    @property
    def outline(self) -> Table:
        """The columns of answers, without rows."""
        outputs = self._served.contract.graph_outputs().items()
        nothing = {name: np.empty((0, *shape), kind) for name, (kind, shape) in outputs}
        marks = np.empty((0, len(self._served.contract.inputs)), np.uint8)
        return self._table(nothing, np.empty(0, np.float32), marks)

    def answer(self, batch: Batch) -> Table:
        """Outputs of the rows that have an answer, in order; what is wrong with the others is noted in `batch`.

        Raises EpmError, without a value of any row, when no backend answers.
        """
        served = self._served
        try:
            rows = served.schema.assemble(batch.columns, len(batch))
        except InvalidInput as error:  # columns are made by us: what is wrong with cells was noted before
            raise EpmError(f"{error.field}: a column that the model does not take") from None
        inspection = served.schema.inspect(rows)
        if inspection.wrong_rows:
            self._note_wrong(batch, inspection)
        coverage, marks = inspection.coverage, inspection.marks
        if batch.wrong:
            kept = np.ones(len(batch), np.bool_)
            kept[list(batch.wrong)] = False
            rows, coverage, marks = RawRows(rows.values[kept], rows.history[kept]), coverage[kept], marks[kept]
        if not len(rows):
            return {}
        tensors = self._chain.run(served.graph_tensors(served.program.run(rows)))
        return self._table(tensors, coverage, marks)

    def _table(self, tensors: Tensors, coverage: NDArray[np.float32], marks: NDArray[np.uint8]) -> Table:
        served = self._served
        table: Table = {}
        for output in served.contract.outputs:
            table |= _columns(output, served, tensors)
        table[texts.both(texts.COVERAGE)] = coverage
        table[texts.both(texts.NOTES)] = self._notes.of(coverage, marks)
        table[texts.both(texts.VERSION)] = np.full(len(coverage), served.version, np.int64)
        return table

    def _note_wrong(self, batch: Batch, inspection: Inspection) -> None:
        for row in np.flatnonzero(inspection.wrong).tolist():
            raw = self._served.contract.inputs[inspection.where[row, 0]]
            came, expected = _wrong(raw, int(inspection.wrong[row]))
            batch.wrong.setdefault(row, Reason(int(batch.places[row]), raw.name, came, expected))


def _wrong(raw: RawInput, wrong: int) -> tuple[str, str]:
    """What came and what was expected, without the value."""
    from serving.features import row_kernels

    if wrong == row_kernels.MISSING_REQUIRED:
        return "no value", "a value: this column is required"
    if wrong == row_kernels.INFINITE:
        return "a number that is not finite", "a finite number"
    low, high = getattr(raw, "low", None), getattr(raw, "high", None)
    unit = "days since 1970-01-01" if isinstance(raw, DateInput) else getattr(raw, "unit", "")
    least, most = (-np.inf if low is None else low), (np.inf if high is None else high)
    came = "a smaller value" if wrong == row_kernels.BELOW else "a larger value"
    return came, f"{least:g} to {most:g} {unit}".strip()


def _columns(output: Output, served: ServedModel, tensors: Tensors) -> Table:
    """The columns of one output, as `epm predict` shows them."""
    if isinstance(output, ClassOutput):
        probabilities = tensors[output.probabilities]
        table: Table = {output.name: Texts(output.classes, tensors[output.label].astype(np.int64))}
        table |= {f"P({name})": probabilities[:, place] for place, name in enumerate(output.classes)}
        table[texts.both(texts.MARGIN)] = _margin(served, tensors)
        return table
    values = tensors[output.tensor]
    if isinstance(output, ProbabilityOutput):
        table = {output.name: values}
        if output.threshold is not None:
            table[texts.both(texts.LABEL)] = tensors[output.label].astype(np.int64)
            table[texts.both(texts.MARGIN)] = _margin(served, tensors)
        return table
    if isinstance(output, RankingOutput):
        order = np.argsort(-values, axis=1, kind="stable")
        different, codes = np.unique(order, axis=0, return_inverse=True)
        return {output.name: Texts([" > ".join(output.items[i] for i in one) for one in different], codes.reshape(-1))}
    if isinstance(output, ScalarOutput):
        return {output.name: values}
    return {name: values[:, place] for place, name in enumerate(output.names)}


def _margin(served: ServedModel, tensors: Tensors) -> NDArray[np.float32]:
    margin = served.margin(tensors)
    assert margin is not None  # noqa: S101 (asked of outputs that decide)
    return margin
