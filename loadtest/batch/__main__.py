"""A million rows by `epm score` and by others, in turn: `python -m loadtest.batch`.

Fails when a row has another answer than `epm score` gave it.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from loadtest.batch import page
from loadtest.batch.files import Files, write
from loadtest.batch.stages import time_stages
from loadtest.batch.ways import WAYS, check_same, run
from loadtest.measure import MeasurementError
from loadtest.published import MODEL, newest_version
from loadtest.study import Study
from serving.repository.served import ServedModel
from serving.repository.versions import load_version

CHUNK_ROWS = 16384


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. Raises MeasurementError, EpmError, OSError."""
    stamp = STUDY.stamp()
    folder = newest_version(options.model_repo / MODEL)
    rows, rounds = (20_000, 1) if options.quick else (options.rows, options.rounds)
    needed = rows * 1200
    with tempfile.TemporaryDirectory(prefix="epm-batch-") as made:
        work = Path(made)
        if shutil.disk_usage(work).free < needed:
            raise MeasurementError(f"{work} has less than {needed >> 20} MiB free (TMPDIR names another folder)")
        served = load_version(folder)
        files = [write(work, served, size) for size in (rows // 10, rows)]
        for way in WAYS:
            run(way, folder, files[0], work)  # not counted: the first one may have to compile kernels
        measured = [one for which in files for one in _rounds(folder, which, work, rounds if which is files[-1] else 1)]
        for _ in range(2):  # the first one reads compiled kernels from disk
            stages = time_stages(files[0].csv, served, CHUNK_ROWS)
        return {
            **stamp,
            "conditions": _conditions(served, files, rounds),
            "runs": measured,
            "stages": stages,
        }


def _conditions(served: ServedModel, files: list[Files], rounds: int) -> dict[str, Any]:
    contract = served.contract
    return {
        "model": f"{contract.model} ({contract.provenance.algorithm})",
        "inputs": len(contract.inputs),
        "features": len(contract.program.features),
        "rows": [which.rows for which in files],
        "rounds": rounds,
        "chunk_rows": CHUNK_ROWS,
        "megabytes": files[-1].megabytes(),
    }


def _rounds(folder: Path, files: Files, work: Path, rounds: int) -> list[dict[str, Any]]:
    """All ways in turn, the first one another in every round."""
    expected, found = None, []
    for number in range(rounds):
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            if number >= way.most_rounds:
                continue
            used, out = run(way, folder, files, work)
            expected = check_same(out, files.rows, expected)
            print(f"{way.name} {files.rows:,} rows: {used.seconds:.1f} s, {used.peak_mib:.0f} MiB", file=sys.stderr)
            found.append({"way": way.name, "rows": files.rows, "round": number, **used.as_dict()})
    return found


STUDY = Study("batch", Path("docs/batch-performance.md"), measure, page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large file; the small one has a tenth")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each way on the large file")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
