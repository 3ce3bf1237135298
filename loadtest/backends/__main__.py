"""Backends, batching and kept predictions, side by side: `python -m loadtest.backends`.

Fails when anything was answered wrong, not when something is slow. Takes a few minutes; needs the Triton of the tests.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtest.backends import batching, cache, forest, page, pipeline
from loadtest.study import Study

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


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. With `--only`, the other parts stay as they were."""
    known = json.loads(options.results.read_text()) if options.only and options.results.exists() else {"parts": {}}
    parts = known["parts"]
    for name in options.only or PARTS:
        pipeline.progress(name)
        stamp = STUDY.stamp()
        parts[name] = {**stamp, "figures": PARTS[name](options.model_repo, options.quick)}
    return {"command": STUDY.stamp()["command"], "parts": {name: parts[name] for name in PARTS if name in parts}}


STUDY = Study("backends", Path("docs/backends-performance.md"), measure, page.write, (RuntimeError, ValueError))


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
