"""Whether a kernel or the gateway has become slower: `python -m loadtest.gate`, the last step of `make test`.

Measures a few ratios, how many times as fast as another way to do the same, in processor time on this machine, and
compares them with those in loadtest/results/gate.json. No time is compared with a constant. A ratio that is worse than
recorded by more than its factor is measured again; three times worse, and the gate fails.
"""

import os

if __name__ == "__main__":  # whoever imports this keeps the environment as it is
    for _name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"  # read when the libraries are imported
    os.environ.setdefault("EPM_LOG_LEVEL", "warning")  # of the gateway that is started

import argparse
import datetime
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from loadtest import machine
from loadtest.gate.verdict import Measured, RecordError, Verdict, bound, table
from loadtest.gate.watched import Watched, watched
from loadtest.study import EXPECTED, RESULTS

RECORDED = RESULTS / "gate.json"
PASSES = 5
"""Measurements of which the median is recorded."""


def main(arguments: list[str] | None = None) -> int:
    """Print the table. 0; 1 with a sentence for every broken bound, or the reason why nothing can be said."""
    options = _parser().parse_args(arguments)
    chosen = [one for one in watched() if not options.only or one.name.startswith(tuple(options.only))]
    if not chosen:
        print(f"gate: no ratio begins with {', '.join(options.only)}, there are {', '.join(_names())}", file=sys.stderr)
        return 1
    try:
        if options.record:
            record(chosen, options)
            return 0
        return check(chosen, options)
    except (*EXPECTED, RecordError, ValueError) as error:
        print(f"gate: {error}", file=sys.stderr)
        return 1


def check(chosen: list[Watched], options: argparse.Namespace) -> int:
    """Measure, and again what is broken. 0 or 1."""
    recorded, cpu = _read(options.recorded), machine.describe()["cpu"]
    measured = [Measured(one.name, one.what, one.study, bound(recorded, one.name, cpu)) for one in chosen]
    for number in range(len(chosen)):
        while measured[number].again:
            ratio = chosen[number].measure(options.model_repo)
            measured[number].came.append(ratio)
            _progress(f"{chosen[number].name} {ratio:.2f}, at least {measured[number].bound.least:.2f}")
    print(table(measured))
    broken = [one for one in measured if one.verdict is Verdict.BROKEN]
    for one in broken:
        print(f"gate: {one.sentence()}", file=sys.stderr)
    return int(bool(broken))


def record(chosen: list[Watched], options: argparse.Namespace) -> None:
    """Measure each several times, write the medians for this kind of processor; all else, and factors, stay."""
    known = _read(options.recorded) if options.recorded.exists() else {}
    described, ratios = machine.describe(), dict(known.get("ratios", {}))
    for one in chosen:
        came = []
        for _ in range(PASSES):
            came.append(one.measure(options.model_repo))
            _progress(f"{one.name} {came[-1]:.2f}")
        before = ratios.get(one.name, {})
        found = {
            "ratio": round(statistics.median(came), 3),
            "came": [round(ratio, 3) for ratio in came],
            "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "commit": described["commit"],
        }
        ratios[one.name] = {
            "what": one.what,
            "factor": before.get("factor", one.factor),
            "elsewhere": before.get("elsewhere", one.elsewhere),
            "recorded": {**before.get("recorded", {}), described["cpu"]: found},
        }
    text = json.dumps({"ratios": {name: ratios[name] for name in _names() if name in ratios}}, indent=1)
    options.recorded.parent.mkdir(parents=True, exist_ok=True)
    options.recorded.write_text(text + "\n", "utf-8")
    print(options.recorded)


def _read(file: Path) -> dict[str, Any]:
    """Raises RecordError."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RecordError(f"{file}: no such file, `python -m loadtest.gate --record` writes it") from error
    except ValueError as error:
        raise RecordError(f"{file}: expected JSON: {error}") from error
    if not isinstance(found, dict):
        raise RecordError(f"{file}: expected an object with `ratios`")
    return found


def _names() -> list[str]:
    return [one.name for one in watched()]


def _progress(text: str) -> None:
    print(f"gate: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.gate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of {', '.join(_names())}, or a beginning")
    parser.add_argument("--record", action="store_true", help="write the ratios of this machine instead of checking")
    parser.add_argument("--recorded", type=Path, default=RECORDED, help=f"what is recorded (default {RECORDED})")
    parser.add_argument("--model-repo", type=Path, default=Path("model_repo"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
