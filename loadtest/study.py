"""What every study of this folder shares: measure, write the figures as JSON, and from that JSON alone make the page.

A study is a module run as `python -m loadtest.NAME`. Its figures stand in `loadtest/results/NAME.json`, beside what
they were measured on; the page can be written again from them without measuring (`--report`).
"""

import argparse
import datetime
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest import machine
from loadtest.answers import WrongAnswerError
from loadtest.h2.client import LoadError
from loadtest.measure import MeasurementError
from loadtest.servers import ServerError
from serving.errors import EpmError

Figures = dict[str, Any]
RESULTS = Path("loadtest/results")
QUICK = Path("build/quick")
"""Where `--quick` writes instead of the repository."""

EXPECTED = (MeasurementError, WrongAnswerError, LoadError, ServerError, EpmError, OSError)
"""What a study ends with in one line on standard error; anything else is a defect and keeps its traceback."""


@dataclass(frozen=True)
class Study:
    """One study: its module below `loadtest`, its page, and its two halves.

    measure: options -> figures as plain values. write: writes the page from figures that went through JSON.
    expected: errors that are told in one line, beside `EXPECTED`.
    """

    name: str
    page: Path
    measure: Callable[[argparse.Namespace], Figures]
    write: Callable[[Figures, Path], None]
    expected: tuple[type[Exception], ...] = ()

    def parser(self, description: str | None) -> argparse.ArgumentParser:
        """With the options that every study has; the study adds its own."""
        parser = argparse.ArgumentParser(prog=f"python -m loadtest.{self.name}", description=description)
        parser.add_argument("--model-repo", type=Path, default=Path("model_repo"))
        parser.add_argument("--out", type=Path, help=f"the page (default {self.page})")
        parser.add_argument("--results", type=Path, help=f"the figures (default {RESULTS / self.name}.json)")
        parser.add_argument("--report", action="store_true", help="write the page again from the figures there are")
        parser.add_argument(
            "--quick", action="store_true", help=f"a moment only, to see it work; writes below {QUICK}/"
        )
        return parser

    def run(self, parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> int:
        """Measure, write, report. 0, or 1 with the reason on standard error."""
        options = parser.parse_args(arguments)
        base = QUICK if options.quick else Path()
        options.out = options.out or base / self.page
        options.results = options.results or base / RESULTS / f"{self.name}.json"
        end_on_signals()
        try:
            if not options.report:
                figures = self.measure(options)
                options.results.parent.mkdir(parents=True, exist_ok=True)
                options.results.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
            options.out.parent.mkdir(parents=True, exist_ok=True)
            self.write(json.loads(options.results.read_text("utf-8")), options.out)
        except (*EXPECTED, *self.expected) as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            return 1
        print(f"{options.results}\n{options.out}")
        return 0

    def stamp(self) -> Figures:
        """When, by which command, on what: stands first in the figures. Call it before anything is measured."""
        return {
            "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "command": " ".join([f"python -m loadtest.{self.name}", *sys.argv[1:]]),
            "machine": machine.describe(),
        }


def end_on_signals() -> None:
    """From now on SIGTERM and SIGHUP end the program so that its `with` blocks are left in order, servers stopped.

    What `nohup` made deaf to SIGHUP stays so.
    """
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)
