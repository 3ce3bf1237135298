"""Feature and forest kernels alone, on the rows that calls have: `python -m loadtest.listener.bare REPOSITORY MODEL`.

Prints microseconds of processor time a row, over `--seconds` of batches of 64 rows: inspection, program, forest.
"""

import argparse
import json
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np

from loadtest import servers
from loadtest.bench.rows import draw
from loadtest.published import newest_version
from serving.backends.forest import ForestBackend
from serving.repository.versions import load_version

SETS = 200


def main(arguments: list[str] | None = None) -> int:
    """0."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.listener.bare", description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args(arguments)
    servers.pin(servers.SERVER_CPU)
    print(json.dumps(measure(options.repository, options.model, options.rows, options.seconds)))
    return 0


def measure(repository: Path, model: str, rows: int, seconds: float) -> dict[str, float]:
    """us_per_row, and rows in all."""
    from serving.backends import forest_kernels
    from serving.features import row_kernels
    from serving.features.program_kernels import run_program

    served = load_version(newest_version(repository / model))
    backend = next(one for one in served.backends if isinstance(one, ForestBackend))
    schema, program = served.schema, served.program
    sets = [schema.assemble(call.columns, rows) for call in draw(repository, model, rows, bodies=SETS).calls]
    inputs = len(schema.inputs)
    coverage, marks = np.empty(rows, np.float32), np.empty((rows, inputs), np.uint8)
    wrong, where = np.empty(rows, np.uint8), np.empty((rows, 2), np.int64)
    features = np.empty((rows, program.features), np.float32)
    scores, label = np.empty((rows, backend.targets), np.float32), np.empty(rows, np.int32)
    window = np.empty((0, 0, 0), np.float32)
    done, began, wall = 0, 0, time.monotonic()
    for number, raw in enumerate(cycle(sets)):
        if number == SETS:  # once through was the warm-up
            began, wall = time.process_time_ns(), time.monotonic()
        if number >= 2 * SETS and number % 32 == 0 and time.monotonic() - wall > seconds:
            break
        row_kernels.inspect_rows(
            raw.values,
            raw.history,
            schema.order,
            schema.facts,
            schema.min_coverage,
            coverage,
            marks,
            wrong,
            where,
        )
        run_program(raw.values, raw.history, program.program, features, window)
        forest_kernels.answer(features, backend.model, scores, label)
        done += rows * (number >= SETS)
    return {"us_per_row": (time.process_time_ns() - began) / done / 1e3, "rows": done}


if __name__ == "__main__":
    sys.exit(main())
