"""The gateway's kernels beside their alternatives and this machine's copy bandwidth: `python -m loadtest.kernels`.

Fails when two ways to do the same give different results.
"""

import os

for _name in ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when the libraries are imported

import argparse  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from dataclasses import asdict  # noqa: E402
from importlib.metadata import version  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from loadtest.features.measure import DifferentError as DifferentFeatures  # noqa: E402
from loadtest.kernels import caches, codecs, features, forests, page  # noqa: E402
from loadtest.kernels.case import Case, DifferentError, Effort  # noqa: E402
from loadtest.kernels.copying import CACHE, MEMORY, bandwidth  # noqa: E402
from loadtest.study import Study  # noqa: E402

LIBRARIES = ("pandas", "scikit-learn", "polars", "xgboost-cpu", "cachetools")
QUICK = Effort(3, 0.002)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. Raises DifferentError."""
    stamp = STUDY.stamp()
    effort = QUICK if options.quick else Effort(options.rounds, options.moment)
    memory = MEMORY // 16 if options.quick else MEMORY
    copied = [bandwidth(effort, memory)]
    kept = caches.Caches(options.model_repo)
    cases = []
    for case in _cases(options.model_repo, kept):
        found = case.measure(effort)
        shown = ", ".join(f"{way} {statistics.median(us):.1f}" for way, us in found["us"].items())
        print(f"{case.kernel}, {case.name}, {case.rows} rows, us: {shown}", file=sys.stderr)
        cases.append(found)
    copied.append(bandwidth(effort, memory))
    kernels = list(dict.fromkeys(found["kernel"] for found in cases))
    cases.sort(key=lambda found: kernels.index(found["kernel"]))
    return {
        **stamp,
        "versions": {name: version(name) for name in LIBRARIES},
        "effort": asdict(effort),
        "copy": {
            "bytes": {"memory": memory, "cache": CACHE},
            "gb_per_second": {where: [*copied[0][where], *copied[1][where]] for where in ("memory", "cache")},
        },
        "counted": {
            "features": features.COUNTED,
            "forest": forests.COUNTED,
            "cache": caches.COUNTED,
            "decode and encode": codecs.COUNTED,
        },
        "cases": cases,
        "entry_bytes": kept.memory(2_000 if options.quick else 20_000),
        "entries": caches.ENTRIES,
        "known_rows": caches.KNOWN,
        "value_bytes": int(kept.values.shape[1]),
        "row_bytes": int(kept.rows[0].nbytes),
    }


def _cases(repository: Path, kept: caches.Caches) -> Iterator[Case]:
    yield from features.cases()
    yield from forests.cases()
    yield from kept.cases()
    yield from codecs.cases(repository)


STUDY = Study(
    "kernels", Path("docs/kernels-performance.md"), measure, page.write, (DifferentError, DifferentFeatures, ValueError)
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each way")
    parser.add_argument("--moment", type=float, default=0.04, help="seconds of a turn")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
