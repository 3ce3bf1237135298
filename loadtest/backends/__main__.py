"""Backends, batching and kept predictions, side by side: `python -m loadtest.backends`.

Writes the figures as JSON and, from that JSON alone, the page `docs/backends-performance.md`. Fails when anything was
answered wrong, not when something is slow. Takes a few minutes; needs the Triton of the tests.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtest import machine
from loadtest.answers import WrongAnswerError
from loadtest.backends import batching, cache, forest, page, pipeline
from loadtest.measure import MeasurementError
from serving.errors import EpmError

Part = Callable[[Path, bool], dict[str, Any]]
"""(model repository, whether quick) -> figures."""


def _forest(repository: Path, quick: bool) -> dict[str, Any]:
    return forest.measure(repository, 2, 0.005) if quick else forest.measure(repository)


def _batching(repository: Path, quick: bool) -> dict[str, Any]:
    return batching.measure(batching.QUICK if quick else batching.FULL)


def _pipeline(repository: Path, quick: bool) -> dict[str, Any]:
    return pipeline.measure(repository, pipeline.QUICK if quick else pipeline.FULL)


def _cache(repository: Path, quick: bool) -> dict[str, Any]:
    return cache.measure(repository, 8 if quick else 400)


PARTS: dict[str, Part] = {"pipeline": _pipeline, "batching": _batching, "forest": _forest, "cache": _cache}


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    options = _options(arguments)
    try:
        if not options.report:
            figures = measure(options)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            options.results.write_text(json.dumps(figures, indent=1) + "\n")
        page.write(json.loads(options.results.read_text()), options.out)
    except (MeasurementError, WrongAnswerError, EpmError, OSError, RuntimeError, ValueError) as error:
        print(f"backends: {error}", file=sys.stderr)
        return 1
    print(f"{options.results}\n{options.out}")
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. With `--only`, the other parts stay as they were."""
    known = json.loads(options.results.read_text()) if options.only and options.results.exists() else {"parts": {}}
    parts = known["parts"]
    for name in options.only or PARTS:
        pipeline.progress(name)
        described = machine.describe()
        when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        parts[name] = {"when": when, "machine": described, "figures": PARTS[name](options.model_repo, options.quick)}
    command = " ".join(["python -m loadtest.backends", *sys.argv[1:]])
    return {"command": command, "parts": {name: parts[name] for name in PARTS if name in parts}}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.backends", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; writes below build/")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    parser.add_argument("--model-repo", type=Path, default=Path("model_repo"))
    parser.add_argument("--out", type=Path, help="the page (default docs/backends-performance.md)")
    parser.add_argument("--results", type=Path, help="the figures (default loadtest/results/backends.json)")
    parser.add_argument("--report", action="store_true", help="only write the page again, from the figures there are")
    options = parser.parse_args(arguments)
    base = Path("build/quick") if options.quick else Path()
    options.out = options.out or base / "docs/backends-performance.md"
    options.results = options.results or base / "loadtest/results/backends.json"
    return options


if __name__ == "__main__":
    sys.exit(main())
