"""Feature programs beside pandas, scikit-learn, polars and a Numba function by hand: `python -m loadtest.features`.

Writes the figures as JSON and, from that JSON alone, the page `docs/features-performance.md`. Fails when two
implementations give different features. Takes about two minutes.
"""

import os

for _name in ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when the libraries are imported

import argparse  # noqa: E402
import datetime  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from dataclasses import asdict  # noqa: E402
from importlib.metadata import version  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from loadtest import machine  # noqa: E402
from loadtest.features import page  # noqa: E402
from loadtest.features.measure import ROWS, DifferentError, Effort, Work, measure, works  # noqa: E402

LIBRARIES = ("numpy", "numba", "llvmlite", "pandas", "scikit-learn", "polars")


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    options = _options(arguments)
    try:
        if not options.report:
            figures = run(options)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            options.results.write_text(json.dumps(figures, indent=1) + "\n")
        page.write(json.loads(options.results.read_text()), options.out)
    except (DifferentError, OSError) as error:
        print(f"features: {error}", file=sys.stderr)
        return 1
    print(f"{options.results}\n{options.out}")
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. Raises DifferentError."""
    described = machine.describe()
    effort = Effort(options.rounds, options.moment)
    wall, processor = time.perf_counter(), time.process_time()
    cases = []
    for work in works():
        for rows in options.rows:
            times = measure(work, rows, effort)
            shown = ", ".join(f"{name} {found['median_us']:.1f}" for name, found in times.items())
            print(f"{work.name}, {rows} rows, us: {shown}", file=sys.stderr)
            cases.append({"program": work.name, "rows": rows, "times": times})
    share = (time.process_time() - processor) / (time.perf_counter() - wall)
    return {
        "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "command": " ".join(["python -m loadtest.features", *sys.argv[1:]]),
        "machine": described,
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


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.features", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often every implementation has its turn")
    parser.add_argument("--moment", type=float, default=0.03, help="seconds of a turn")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="rows a call")
    parser.add_argument("--out", type=Path, help="the page (default docs/features-performance.md)")
    parser.add_argument("--results", type=Path, help="the figures (default loadtest/results/features.json)")
    parser.add_argument("--report", action="store_true", help="only write the page again, from the figures there are")
    parser.add_argument("--quick", action="store_true", help="a moment only, to see that it works; writes below build/")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.moment, options.rows = 1, 0.001, [min(rows, 200) for rows in options.rows]
    base = Path("build/smoke") if options.quick else Path()
    options.out = options.out or base / "docs/features-performance.md"
    options.results = options.results or base / "loadtest/results/features.json"
    return options


if __name__ == "__main__":
    sys.exit(main())
