"""Feature programs beside pandas, scikit-learn, polars and a Numba function by hand: `python -m loadtest.features`.

Fails when two implementations give different features. Takes about two minutes.
"""

import os

for _name in ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when the libraries are imported

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from dataclasses import asdict  # noqa: E402
from importlib.metadata import version  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from loadtest.features import page  # noqa: E402
from loadtest.features.measure import ROWS, DifferentError, Effort, Work, measure, works  # noqa: E402
from loadtest.study import Study  # noqa: E402

LIBRARIES = ("numpy", "numba", "llvmlite", "pandas", "scikit-learn", "polars")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. Raises DifferentError."""
    stamp = STUDY.stamp()
    effort = Effort(1, 0.001) if options.quick else Effort(options.rounds, options.moment)
    wall, processor = time.perf_counter(), time.process_time()
    cases = []
    for work in works():
        for rows in (min(rows, 200) for rows in options.rows) if options.quick else options.rows:
            times = measure(work, rows, effort)
            shown = ", ".join(f"{name} {found['median_us']:.1f}" for name, found in times.items())
            print(f"{work.name}, {rows} rows, us: {shown}", file=sys.stderr)
            cases.append({"program": work.name, "rows": rows, "times": times})
    share = (time.process_time() - processor) / (time.perf_counter() - wall)
    return {
        **stamp,
        "versions": {name: version(name) for name in LIBRARIES},
        "effort": asdict(effort),
        "processor_share": share,
        "programs": [_described(work) for work in works()],
        "cases": cases,
    }


def _described(work: Work) -> dict[str, Any]:
    contract, program = work.contract, work.contract.program
    return {
        "name": work.name,
        "inputs": len(contract.inputs),
        "steps": len(program.steps),
        "ops": sorted({step.op for step in program.steps}),
        "features": len(program.features),
        "window": f"{contract.months} months with {len(program.window)} columns" if program.window else "",
    }


STUDY = Study("features", Path("docs/features-performance.md"), run, page.write, (DifferentError,))


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often every implementation has its turn")
    parser.add_argument("--moment", type=float, default=0.03, help="seconds of a turn")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="rows a call")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
