"""`epm doctor`, from its options to its exit status."""

import asyncio
import json
import logging
import warnings
from collections.abc import Mapping, Sequence

from serving.doctor.examination import CHECKS, examine
from serving.doctor.finding import Finding, Level, failed
from serving.errors import SettingsError
from serving.settings import Settings

Told = Sequence[tuple[str, Finding]]


def doctor(given: Mapping[str, str], only: Sequence[str], seconds: float, as_json: bool) -> int:
    """Examine, print, and say with the exit status how it is: 0, or 1 when something failed.

    given: settings of the command line; only: names of checks, none for all. Raises SettingsError for wrong use.
    """
    wrong = [name for name in only if name not in CHECKS]
    if wrong:
        raise SettingsError(f"--only: got {wrong[0]!r}, expected some of {', '.join(CHECKS)}")
    if not seconds > 0:
        raise SettingsError(f"--timeout: got {seconds:g}, expected more than 0")
    logging.disable(logging.CRITICAL)  # what is worth saying is said once, in the findings
    warnings.simplefilter("ignore")
    names = [name for name in CHECKS if not only or name in only]
    try:
        settings = Settings.read(given)
    except SettingsError as error:
        told: Told = [
            ("settings", failed(error.message, f"correct {error.field or 'it'}; `epm serve --help` lists all"))
        ]
    else:
        loop = asyncio.new_event_loop()  # never closed: that would join threads which stand still
        told = loop.run_until_complete(examine(settings, names, seconds))
    print(_json(told) if as_json else _text(told), flush=True)
    return 1 if any(finding.level is Level.FAILED for _, finding in told) else 0


def _text(told: Told) -> str:
    lines = []
    for name, finding in told:
        advice = f"; do: {finding.advice}" if finding.advice else ""
        lines.append(f"{finding.level.value:7}  {name:10}  {finding.found}{advice}")
    return "\n".join(lines)


def _json(told: Told) -> str:
    checks = [
        {"check": name, "level": finding.level.value.lower(), "found": finding.found, "advice": finding.advice}
        for name, finding in told
    ]
    counts = {level.value.lower(): sum(finding.level is level for _, finding in told) for level in Level}
    return json.dumps({"checks": checks, **counts}, indent=1, ensure_ascii=False)
