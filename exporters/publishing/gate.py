"""The last word before publishing: the finished version, as the gateway's own loader and backend see it."""

import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporters.data.table import Cells
from exporters.errors import ParityError
from exporters.formats import triton_config
from exporters.formats.parity import Answers
from exporters.publishing import publish
from serving.contract import Contract
from serving.errors import ContractError, InvalidInput
from serving.repository.served import ServedModel
from serving.repository.versions import load_version

_CALLS = (1, 7, 64, 256, 1024)
"""Rows of a call, in turn: what is answered must not depend on it."""


def gateway_answers(contract: Contract, files: dict[str, bytes], columns: Mapping[str, Cells]) -> Answers:
    """What the gateway answers for raw rows, from a version of `files` that lies in a temporary repository.

    The loader checks digests, contract, graph and golden rows; then the rows go in calls of several sizes through
    schema, feature program and backend, on one thread. columns: n raw rows. Raises ParityError when the gateway refuses
    the version, or a row.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = publish.publish(Path(temporary), contract.model, files, triton_config.render(contract))
        try:
            served = load_version(folder)
        except ContractError as error:
            raise ParityError(f"gateway: refuses the version: {error.message}") from error
    parts = [answer(served, {name: cells[rows] for name, cells in columns.items()}) for rows in _calls(columns)]
    return Answers("gateway", {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _calls(columns: Mapping[str, Cells]) -> Iterator[slice]:
    start, n = 0, len(next(iter(columns.values())))
    for size in itertools.cycle(_CALLS):
        yield slice(start, start + size)
        start += size
        if start >= n:
            return


def answer(served: ServedModel, columns: Mapping[str, Cells]) -> dict[str, Any]:
    """What the gateway makes of n raw rows in one call, the graph's outputs by name. Raises ParityError."""
    n = len(next(iter(columns.values())))
    cells = {name: values.tolist() if values.dtype.kind == "U" else values for name, values in columns.items()}
    try:
        rows = served.schema.assemble(cells, n)
        served.schema.refuse_wrong(rows, served.schema.inspect(rows))
    except InvalidInput as error:  # its text tells the value, which may be somebody's
        raise ParityError(f"gateway: refuses a row: {error.field}: not what the contract allows") from None
    return dict(served.run(served.graph_tensors(served.program.run(rows))))
