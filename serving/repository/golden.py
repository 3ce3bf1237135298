"""The proof that a version answers here as its model did when it was trained: its golden rows."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Proof, Tensors, check_promised, rows_of
from serving.contract import ProbabilityOutput
from serving.errors import ContractError, InvalidInput
from serving.features.program import Features
from serving.repository.served import ServedModel

TOLERANCE = 1e-5
PROVING_ROWS = 32

Arrays = Mapping[str, NDArray[Any]]


class Golden:
    """The golden rows of a version: what its graph is given for them here, and what the trained model answered."""

    def __init__(self, served: ServedModel, path: Path) -> None:
        """Read them and put them through the feature program. served: needs no backends yet.

        Raises ContractError when the features are not as in training. Reasons tell no cell of a row: they are shown to
        callers, and golden rows may be of people.
        """
        try:
            with np.load(path, allow_pickle=False) as golden:
                arrays = dict(golden)
            cells = {raw.name: arrays[f"raw.{raw.name}"] for raw in served.contract.inputs}
            self._expected = {k[7:]: v for k, v in arrays.items() if k.startswith("output.")}
            made = Features(arrays["features"], arrays.get("window", np.empty((0, 0, 0), np.float32)))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ContractError(f"golden.npz: {error}") from error
        columns = {name: values.tolist() if values.dtype.kind == "U" else values for name, values in cells.items()}
        try:
            rows = served.schema.assemble(columns, max_rows=len(made.features))
            served.schema.refuse_wrong(rows, served.schema.inspect(rows))
        except InvalidInput as error:
            reason = f"golden rows: column {error.field}: a value that contract.json does not allow"
            raise ContractError(reason) from None
        ours = served.program.run(rows)
        for got, trained in zip(ours, made, strict=True):
            if got.shape != trained.shape or not np.allclose(got, trained, rtol=1e-6, atol=1e-6, equal_nan=True):
                raise ContractError("golden rows: this gateway's features differ from those the model was trained on")
        self._served = served
        self.tensors = served.graph_tensors(ours)

    def check(self, outputs: Tensors) -> None:
        """What a backend answers to the first m golden rows. Raises ContractError when it is not as in training.

        A label may differ only where the margin of the trained model's decision is within the tolerance: the two best
        classes, or a probability and its threshold, are that close.
        """
        served, m = self._served, rows_of(outputs)
        try:
            check_promised(outputs, served.contract.graph_outputs(), m)
        except ContractError as error:
            raise ContractError(f"golden rows: {error.message}") from error
        expected = {name: values[:m] for name, values in self._expected.items()}
        for name in served.graph_outputs:
            if name not in expected:
                raise ContractError(f"golden rows: no output {name}")
            _check_equal(served, name, outputs[name], expected)
        _check_threshold(served, outputs)
        served.margin(outputs)  # compiled now, not in the first call

    def proof(self) -> Proof:
        """Some of the rows, for a backend that is asked over a network."""
        tensors = {name: np.ascontiguousarray(values[:PROVING_ROWS]) for name, values in self.tensors.items()}
        return Proof(tensors, self.check)


def _check_equal(served: ServedModel, name: str, got: NDArray[Any], expected: Arrays) -> None:
    values = expected[name]
    if got.shape != values.shape:
        raise ContractError(f"golden rows: output {name} is {got.shape}, not {values.shape}")
    is_label = served.decision is not None and name == served.decision.label
    margin = served.margin(expected) if is_label else None  # what a label is decided from was checked before it
    if margin is None:
        wrong = ~np.isclose(got, values, rtol=0, atol=TOLERANCE)
    else:
        wrong = (got != values) & (margin > TOLERANCE)
    if wrong.any():
        row, places = int(np.argwhere(wrong)[0][0]), int(wrong.sum())
        raise ContractError(
            f"golden rows: output {name} is not the trained model's in {places} places, first row {row}"
        )


def _check_threshold(served: ServedModel, outputs: Arrays) -> None:
    """A graph that decides by a threshold decides by the one of the contract, which callers and margins go by."""
    decision = served.decision
    if not isinstance(decision, ProbabilityOutput) or served.threshold is None:
        return
    wrong = (outputs[decision.tensor] >= served.threshold).astype(np.int32) != outputs[decision.label]
    if wrong.any():
        raise ContractError(
            f"golden rows: output {decision.label} is not whether {decision.tensor} is at or above the threshold "
            f"{served.threshold!s} of contract.json in {int(wrong.sum())} places"
        )
