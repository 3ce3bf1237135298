"""A minute of locust's mixed users on a gateway, then the verdict: `python -m loadtest.users`.

The same users first call a bare echo server for some seconds: what is allowed is a multiple of what they find there.
Exit status: 0 all thresholds kept, 1 not, or what went wrong on standard error, 2 wrong use.
"""

import argparse
import shlex
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from loadtest import servers
from loadtest.h2.client import LoadError, loopback
from loadtest.study import EXPECTED, end_on_signals
from loadtest.users.figures import read
from loadtest.users.kinds import KINDS
from loadtest.users.options import add_common, plan_of, thresholds_as_arguments, thresholds_of
from loadtest.users.shapes import Plan
from loadtest.users.thresholds import named
from loadtest.users.work import contract_of

OUT = Path("build/loadtest")
STOP_SECONDS = 10
"""How long calls may go on at the end of a run; a stream that takes longer is cut off and not counted."""
PATIENCE = 120.0
"""Seconds that a run may take beyond its own."""
LOCUSTFILE = Path(__file__).parent.parent / "locustfile.py"


def main(arguments: list[str] | None = None) -> int:
    """Calibrate, run, judge."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = plan_of(options)
        calibration = replace(plan, seconds=options.calibrate)
        if unknown := [name for name in options.users if name not in KINDS]:
            raise ValueError(f"users: got {unknown[0]}, expected some of {', '.join(KINDS)}")
        if options.target:
            _check_loopback(options.target)
    except ValueError as error:
        parser.error(str(error))
    end_on_signals()
    try:
        return _measure(options, plan, calibration)
    except (*EXPECTED, subprocess.TimeoutExpired) as error:
        print(f"users: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.users", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("users", nargs="*", metavar="USERS", help=f"only these (default all): {', '.join(KINDS)}")
    add_common(parser.add_argument, shape="constant")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--target", metavar="HOST:PORT", help="a gateway that runs on this machine already")
    where.add_argument(
        "--gateway",
        metavar="COMMAND",
        help="start the gateway like this; it prints a line `ready grpc=HOST:PORT` (default: `epm serve`, no cache)",
    )
    parser.add_argument(
        "--calibrate", type=_moment, default=8.0, metavar="SECONDS", help="on the echo first (default %(default)g)"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of CSV files and reports (default %(default)s)")
    return parser


def _moment(text: str) -> float:
    """Seconds, enough for some calls of each kind."""
    value = float(text)
    if not 1 <= value <= 600:
        raise argparse.ArgumentTypeError(f"got {text}, expected 1 to 600")
    return value


def _measure(options: argparse.Namespace, plan: Plan, calibration: Plan) -> int:
    for name in options.users or KINDS:
        contract_of(KINDS[name], Path(options.model_repo))
    options.out.mkdir(parents=True, exist_ok=True)
    echo_figures = options.out / "echo.json"
    for old in (echo_figures, options.out / "gateway.json"):
        old.unlink(missing_ok=True)
    with _gateway(options) as gateway:
        address = options.target or gateway.address
        print(f"the echo, {calibration.seconds:g} s with {plan.peak} users", file=sys.stderr, flush=True)
        with servers.echo() as echo:
            _locust(options, "echo", echo.address, "constant", calibration, ["--echo"])
        _check_calibration(echo_figures)
        print(f"the gateway on {address}, {plan.seconds:g} s of {options.shape}", file=sys.stderr, flush=True)
        more = [f"--echo-figures={echo_figures}", *thresholds_as_arguments(thresholds_of(options))]
        status = _locust(options, "gateway", address, options.shape, plan, more)
    print(f"\nreport {options.out / 'gateway.html'}, CSV {options.out / 'gateway_*.csv'}")
    return status


def _check_calibration(echo_figures: Path) -> None:
    """Raises ServerError unless the echo answered everything."""
    if not echo_figures.exists():
        raise servers.ServerError("the users ended before they had figures of the echo")
    found = read(echo_figures)
    wrong = [*found.defects, *(f"{name}: {named(kind)}" for name, kind in found.kinds.items() if kind.failed)]
    if wrong or not found.kinds:
        raise servers.ServerError(f"the echo, which answers everything, did not: {'; '.join(wrong) or 'no call'}")


def _gateway(options: argparse.Namespace) -> AbstractContextManager[servers.Server]:
    if options.target:
        return nullcontext()
    if options.gateway:
        return servers.Server(shlex.split(options.gateway))
    return servers.gateway(options.model_repo)


def _locust(options: argparse.Namespace, name: str, address: str, shape: str, plan: Plan, more: list[str]) -> int:
    """Run locust in a process of its own, which gevent has for itself; its exit status."""
    prefix = options.out / name
    command = [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *options.users),
        *("--headless", "--only-summary", "--skip-log-setup", f"--stop-timeout={STOP_SECONDS}"),
        *(f"--host={address}", f"--csv={prefix}", f"--html={prefix}.html", f"--figures={prefix}.json"),
        *(f"--shape={shape}", f"--seconds={plan.seconds:g}", f"--peak={plan.peak}"),
        *(f"--floor={plan.floor}", f"--steps={plan.steps}", f"--model-repo={options.model_repo}"),
        *more,
    ]
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=plan.seconds + PATIENCE, check=False).returncode


def _check_loopback(target: str) -> None:
    """Raises ValueError: nobody puts a load on another machine by a slip of the keyboard."""
    try:
        loopback(target)
    except LoadError:
        expected = "an address of this machine as in 127.0.0.1:8500"
        raise ValueError(f"--target: got {target}, expected {expected}") from None


if __name__ == "__main__":
    sys.exit(main())
