"""Rows that nobody has sent before, until the tables of kept predictions are resident as a whole.

A table has a fixed size, but a page of it is resident only when something was kept there. A gateway that has just
started therefore grows for an hour of new rows, up to that size, and no slope could be told from it. 100,000 rows in
random places reach all but a few thousandths of a percent of the pages of a table of 64 MiB.
"""

import sys
from pathlib import Path

import numpy as np

from loadtest.h2.client import Load, run
from loadtest.measure import MeasurementError
from loadtest.published import newest_version
from loadtest.rates.mix import MODELS, PATHS, drawn, kserve_v2, ready_tensors
from serving.contract import Contract

ROWS_A_CALL, CALLS_A_LOAD = 64, 50
"""A load is made before it is put on: 50 bodies of a sequence model are some megabytes."""


def fill(address: str, model_repo: Path, rows: int, seed: int) -> int:
    """Send about `rows` new rows to each model as ready tensors; how many were sent. Raises MeasurementError."""
    random, sent = np.random.default_rng(seed), 0
    for model in MODELS:
        version = newest_version(model_repo / model)
        contract = Contract.load(version / "contract.json")
        with np.load(version / "golden.npz", allow_pickle=False) as golden:
            tensors = ready_tensors(contract, golden)
        for _ in range(max(1, rows // (ROWS_A_CALL * CALLS_A_LOAD))):
            bodies = [kserve_v2(model, drawn(tensors, {}, ROWS_A_CALL, random)) for _ in range(CALLS_A_LOAD)]
            load = Load(
                address=address, path=PATHS["kserve_v2"], bodies=bodies, calls=CALLS_A_LOAD, seconds=60, distinct=1
            )
            result = run(load)
            if not result.all_ok:
                raise MeasurementError(f"{model}: statuses {dict(result.statuses)}, without one {dict(result.errors)}")
            sent += ROWS_A_CALL * CALLS_A_LOAD
        print(f"soak: {sent:,} new rows sent, up to {model}", file=sys.stderr)
    return sent
