"""Rows through the gateway's own door: what a contract makes of columns, and which input each feature comes from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells
from serving.contract import MASK, Contract, HistoryInput
from serving.features.histories import MonthlyCells
from serving.features.program import Features, compile_program
from serving.features.rows import RawRows, RowSchema

FEATURES, HISTORY = "features", "history"
"""The graph's inputs: float32[n, F], and float32[n, months, K] of a sequence model."""


def raw_rows(contract: Contract, columns: Mapping[str, Cells]) -> RawRows:
    """Columns of n cells, histories float64[n, months], as the gateway holds them."""
    n = len(next(iter(columns.values())))
    given = {raw.name: _given(columns[raw.name], isinstance(raw, HistoryInput)) for raw in contract.inputs}
    return RowSchema(contract).assemble(given, max_rows=n)


def _given(cells: Cells, history: bool) -> Any:
    if history:
        return MonthlyCells(cells, np.full(len(cells), cells.shape[1]))
    return cells.tolist() if cells.dtype.kind == "U" else cells


def graph_inputs(contract: Contract, made: Features) -> dict[str, NDArray[np.float32]]:
    """What a program made, by the names of the graph's inputs."""
    tensors = {FEATURES: made.features} if contract.program.features else {}
    return tensors | ({HISTORY: made.window} if contract.program.window else {})


def tensors(contract: Contract, columns: Mapping[str, Cells]) -> dict[str, NDArray[np.float32]]:
    """Columns -> the graph's inputs, by the gateway's own kernel."""
    return graph_inputs(contract, compile_program(contract).run(raw_rows(contract, columns)))


def feature_matrix(contract: Contract, columns: Mapping[str, Cells]) -> NDArray[np.float32]:
    """Columns -> float32[n, F]."""
    return tensors(contract, columns)[FEATURES]


def sources(contract: Contract) -> dict[str, str]:
    """Value of the program -> the raw input it is computed from; the mask comes from all histories and has none."""
    source = {raw.name: raw.name for raw in contract.inputs}
    for step in contract.program.steps:
        if step.inputs[0] != MASK:
            source[step.into] = source[step.inputs[0]]
    return source
