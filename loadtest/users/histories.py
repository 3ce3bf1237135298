"""Rows with monthly histories, and their bodies in `epm.v1`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtest.bodies import Protocol
from loadtest.rows import MISSING_SHARE, Columns, draw_rows, take
from serving.contract import Contract, HistoryInput
from serving.stubs.epm.v1 import prediction_pb2 as epm


@dataclass(frozen=True)
class Drawn:
    """n rows. histories: float64[n, months] by name; lengths: int64[n], months that each row has, at the end."""

    columns: Columns
    histories: Mapping[str, NDArray[np.float64]]
    lengths: NDArray[np.int64]


def draw_with_histories(contract: Contract, n: int, seed: int) -> Drawn:
    """n rows that the contract allows, one in four of somebody who came lately; the same seed gives the same rows."""
    random = np.random.default_rng(seed + 1)
    new = random.random(n) < 0.25
    lengths = np.where(new, random.integers(1, contract.months + 1, n), contract.months)
    histories = {}
    for raw in contract.inputs:
        if isinstance(raw, HistoryInput):
            low, high = raw.seen or (0.0, 1.0)
            months = random.uniform(low, high, (n, contract.months)).astype(np.float32).astype(np.float64)
            empty = random.random(months.shape) < MISSING_SHARE
            histories[raw.name] = np.where(empty, np.nan, np.clip(months, low, high))
    return Drawn(draw_rows(contract, n, seed), histories, lengths)


def make_bodies_with_histories(protocol: Protocol, contract: Contract, rows: int, count: int, seed: int) -> list[bytes]:
    """`count` distinct bodies of `rows` rows each, in `epm.v1`. Raises ValueError when two come out equal."""
    if protocol.name != "epm_v1":
        raise ValueError(f"{protocol.name}: histories are sent over epm_v1 only")
    drawn = draw_with_histories(contract, rows * count, seed)
    bodies = [_body(protocol, contract.model, drawn, at, at + rows) for at in range(0, rows * count, rows)]
    if len(set(bodies)) != count:
        raise ValueError(f"{contract.model}: only {len(set(bodies))} of {count} bodies are distinct")
    return bodies


def _body(protocol: Protocol, model: str, drawn: Drawn, start: int, stop: int) -> bytes:
    """Columns as `epm_predict` writes them; NaN is a missing month, rows with fewer months have them at the front."""
    request = epm.PredictRequest()
    for name, values in drawn.histories.items():
        history = request.columns.add(name=name).history
        history.months = values.shape[1]
        history.values.extend(values[start:stop].reshape(-1).tolist())
        history.lengths.extend(drawn.lengths[start:stop].tolist())
    return protocol.encode(model, take(drawn.columns, start, stop)) + request.SerializeToString(deterministic=True)
