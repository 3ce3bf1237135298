"""What happens around a run inside locust: options, the shape, bodies before the first user, progress, the verdict."""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import gevent
import locust
from locust import stats
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from loadtest.h2.client import LoadError, loopback
from loadtest.measure import MeasurementError
from loadtest.users.figures import KindFigures, RunFigures, read, round_ms
from loadtest.users.kinds import KINDS
from loadtest.users.options import add_common, plan_of, thresholds_of
from loadtest.users.planned import PlannedShape
from loadtest.users.thresholds import judge
from loadtest.users.verdict import verdict
from loadtest.users.work import calls_of
from serving.errors import EpmError

RUNNING = (STATE_SPAWNING, STATE_RUNNING)
TICK, PROGRESS_EVERY = 0.5, 10
"""Seconds between two looks at how many users there are; ticks between two lines of progress."""


class Watch:
    """Counts user-seconds while the test runs, and says how far it is on standard error."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.user_seconds = 0.0
        self._began = self._ended = 0.0

    @property
    def seconds(self) -> float:
        """From the first user to the last."""
        return self._ended - self._began

    def run(self) -> None:
        """For ever; spawned as a greenlet."""
        ticks, last = 0, time.monotonic()
        while True:
            gevent.sleep(TICK)
            runner = self._environment.runner
            users = runner.target_user_count if runner.state in RUNNING else 0  # a master hears of its users late
            now = time.monotonic()
            if users:
                self._began = self._began or last
                self._ended, ticks = now, ticks + 1
                self.user_seconds += users * (now - last)
                if ticks % PROGRESS_EVERY == 0:
                    self._tell(users)
            last = now

    def _tell(self, users: int) -> None:
        total = self._environment.stats.total
        print(
            f"{self.seconds:.0f} s: {users} users, {total.num_requests:,} calls, {total.num_failures:,} failed",
            file=sys.stderr,
            flush=True,
        )


def listen() -> None:
    """Register everything below; called once by the locustfile."""
    stats.bucket_response_time = round_ms
    locust.events.init_command_line_parser.add_listener(_add_options)
    locust.events.init.add_listener(_begin)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = partial(parser.add_argument, include_in_web_ui=False)
    add_common(add, shape=None)
    add("--echo", action="store_true", help="the host is loadtest.echo_server: its answers are what was sent")
    add("--figures", metavar="FILE", help="write the figures of the run here, as JSON")
    add(
        "--echo-figures",
        metavar="FILE",
        help="the figures of the same users on the echo, for thresholds relative to it",
    )


def _begin(environment: Environment, **_: object) -> None:
    try:
        _prepare(environment)
    except (ValueError, MeasurementError, LoadError, EpmError) as error:  # wrong use, told in a line
        sys.exit(f"locust: {error}")


def _prepare(environment: Environment) -> None:
    options = environment.parsed_options
    if environment.host:
        loopback(environment.host)
    worker = isinstance(environment.runner, WorkerRunner)
    if options.shape is not None and not worker:
        environment.shape_class = PlannedShape(options.shape, plan_of(options))
        environment.shape_class.runner = environment.runner
    if not isinstance(environment.runner, MasterRunner):
        for users in environment.user_classes:
            calls_of(users.kind, Path(options.model_repo))
    if not worker:
        watch = Watch(environment)
        gevent.spawn(watch.run)
        environment.events.quitting.add_listener(partial(_end, watch))


def _end(watch: Watch, environment: Environment, **_: object) -> None:
    """Write the figures; of a gateway, judge them, print the verdict and set locust's exit code."""
    options = environment.parsed_options
    run = _figures(environment, watch)
    if options.figures:
        run.write(Path(options.figures))
    if options.echo:
        return
    echo = read(Path(options.echo_figures)) if options.echo_figures else None
    broken = judge(run, echo, thresholds_of(options))
    environment.process_exit_code = 1 if broken else 0
    print(verdict(run, echo, broken), flush=True)


def _figures(environment: Environment, watch: Watch) -> RunFigures:
    failures: dict[str, dict[str, int]] = {}
    for error in environment.stats.errors.values():
        failures.setdefault(error.name, {})[str(error.error)] = error.occurrences
    kinds = {
        entry.name: KindFigures(
            entry.num_requests,
            failures.get(entry.name, {}),
            *(entry.get_response_time_percentile(share) for share in (0.5, 0.95, 0.99)),
        )
        for entry in environment.stats.entries.values()
    }
    defects = [str(defect["msg"]) for defect in environment.runner.exceptions.values()]
    return RunFigures(
        watch.seconds or 1.0,
        watch.user_seconds,
        {kind.name: kinds[kind.name] for kind in KINDS.values() if kind.name in kinds},
        defects,
    )
