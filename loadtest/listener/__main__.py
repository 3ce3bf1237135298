"""The compiled listener beside grpc.aio and Triton, in one run: `python -m loadtest.listener`.

Rates, processor time a call and latencies on one processor, with bodies that differ and the cache off; what bare
kernels reach; more loops; a model of the batcher; starts. The load generator (`generator.py`) has the other processor.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest import servers
from loadtest.bench.peer import ENVIRONMENTS
from loadtest.listener import asked, benchmark_model, h2load, page
from loadtest.listener.asked import LSTM, Samples
from loadtest.listener.generator import Load, run
from loadtest.listener.load import CONNECTIONS, STREAMS, figures, put_load
from loadtest.listener.sides import Side, gateway_side, triton_side
from loadtest.measure import MeasurementError
from loadtest.published import MODEL
from loadtest.servers import ServerError
from loadtest.study import Study

MODELS = (benchmark_model.MODEL, MODEL)
ASKED_OF = {
    "h2": ("kserve_v2", "tensorflow_serving", "epm_v1", "kserve_v2 64", "epm_v1 64", "stream 64"),
    "grpc_aio": ("kserve_v2",),
    "triton": ("tensor",),
}
MESSAGES, STREAM_CONNECTIONS = 16, 8
"""Unanswered messages of a stream, as the gateway reads them by default; one stream on each connection."""
RATE = 20_000.0
THREADS = (1, 2, 4)
CALLERS = 64
WINDOWS = 3
"""Of calls at a rate, and as many at a tenth of it: what the machine itself does to latencies comes and goes."""
SEED = 20_261_123

Record = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """Rounds, seconds of a run, and the calls a second at which latency is measured."""

    rounds: int
    seconds: float
    rate: float

    @property
    def warm(self) -> float:
        """Seconds before, that are not counted."""
        return min(0.5, self.seconds)


def measure(options: argparse.Namespace) -> Record:
    """Everything the page says. Raises MeasurementError, WrongAnswerError, LoadError, ServerError."""
    stamp = STUDY.stamp()
    effort = Effort(1, 0.5, options.rate) if options.quick else Effort(options.rounds, options.seconds, options.rate)
    pinned = servers.pin(servers.CLIENT_CPU)
    with tempfile.TemporaryDirectory(prefix="epm-listener-") as name:
        repository = _repository(options.model_repo, Path(name))
        samples = {model: asked.samples(repository, model) for model in MODELS}
        starts = list(_starts(repository, 1 if options.quick else 3, Path(name), cold=not options.quick))
        runs, left_out = [], ""
        for number in range(effort.rounds):
            found, left_out = _round(repository, samples, options.environments, effort, number)
            runs += found
        threads = [run for number in range(effort.rounds) for run in _threads(repository, samples, effort, number)]
        lstm = [run for number in range(effort.rounds) for run in _lstm(repository, effort, number)]
    made = {
        **stamp,
        "conditions": {
            "models": {benchmark_model.MODEL: benchmark_model.DESCRIBED, MODEL: "as published"},
            "rounds": effort.rounds,
            "seconds": effort.seconds,
            "connections": CONNECTIONS,
            "streams": STREAMS,
            "rate": options.rate,
            "distinct_bodies": asked.BODIES,
            "pinned": pinned,
            "triton_left_out": left_out,
        },
        "runs": runs,
        "threads": threads,
        "lstm": lstm,
        "starts": starts,
    }
    return made


def _repository(model_repo: Path, folder: Path) -> Path:
    """The committed models and the benchmark's, as links and as a new one."""
    repository = folder / "model_repo"
    repository.mkdir()
    for model in (MODEL, LSTM):
        (repository / model).symlink_to((model_repo / model).absolute())
    benchmark_model.write(repository)
    return repository


def _round(
    repository: Path, samples: dict[str, Samples], environments: Path, effort: Effort, number: int
) -> tuple[list[Record], str]:
    """New processes of all sides, each asked in turn, another one first each time; and why Triton has none."""
    left_out = ""
    with ExitStack() as stack:
        sides = [stack.enter_context(gateway_side(repository, listener)) for listener in ("h2", "grpc_aio")]
        try:
            probe = samples[MODELS[0]].ask("tensor")
            sides.append(stack.enter_context(triton_side(repository, MODELS, environments, probe)))
        except ServerError as error:
            left_out = " ".join(str(error).split())[:300]
            print(f"Triton is left out: {left_out}", file=sys.stderr)
        first = number % len(sides)
        found = []
        for side in (*sides[first:], *sides[:first]):
            for run in _visit(side, samples, effort):
                found.append({"round": number, "side": side.name, "pinned": side.pinned} | run)
                what = {key: found[-1].get(key) for key in ("side", "model", "asked", "calls_per_second", "p99_us")}
                print(what, file=sys.stderr)
    bare = {model: _bare(repository, model, effort.seconds) for model in MODELS}
    found += [{"round": number, "side": "bare", "model": model} | run for model, run in bare.items()]
    return found, left_out


def _visit(side: Side, samples: dict[str, Samples], effort: Effort) -> Iterator[Record]:
    """Everything that one server is asked."""
    if side.name != "grpc_aio":  # the empty call of the compiled listener, and that of Triton
        work = samples[MODELS[0]].ask("empty")
        put_load(side, work, effort.warm)
        yield {"model": "", "asked": "empty"} | put_load(side, work, effort.seconds).as_dict()
    for model, sample in samples.items():
        for what in ASKED_OF[side.name]:
            work = sample.ask(what)
            how: Record = (
                {"messages": MESSAGES, "connections": STREAM_CONNECTIONS, "streams": 1} if "stream" in what else {}
            )
            put_load(side, work, effort.warm, **how)
            yield {"model": model, "asked": what} | put_load(side, work, effort.seconds, **how).as_dict()
        if side.name == "h2":
            work = sample.ask("kserve_v2")
            for _ in range(WINDOWS):
                found = put_load(side, work, effort.seconds, rate=effort.rate)
                yield {"model": model, "asked": "kserve_v2 at a rate"} | found.as_dict()
                found = put_load(side, work, effort.seconds, rate=effort.rate / 10)
                yield {"model": model, "asked": "kserve_v2 at a tenth"} | found.as_dict()
            yield {"model": model, "asked": "one body"} | _one_body(side, work.path, work.bodies[0], effort.seconds)


def _one_body(side: Side, path: str, body: bytes, seconds: float) -> Record:
    """The same body for ever, by the compiled generator and by h2load."""
    how = {"connections": CONNECTIONS, "streams": STREAMS, "distinct": 1}
    result = run(Load(address=side.address, path=path, bodies=[body], seconds=seconds, **how))
    if not result.all_ok:
        raise MeasurementError(f"{side.name}: {dict(result.said)}, {dict(result.errors)}")
    whole = max(1, round(seconds))
    return {"generator": result.rate, "h2load": h2load.rate(side.address, path, body, whole)}


def _bare(repository: Path, model: str, seconds: float) -> Record:
    """The kernels alone, in a process on the servers' processor."""
    command = [sys.executable, "-m", "loadtest.listener.bare", str(repository), model, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise MeasurementError(f"the bare kernels: {done.stderr[-300:]}")
    return {"asked": "kernels", "cpu_us_per_row": json.loads(done.stdout)["us_per_row"]}


def _threads(repository: Path, samples: dict[str, Samples], effort: Effort, number: int) -> Iterator[Record]:
    """The same calls with more loops, all on one processor and on all of them; connections are spread by the kernel."""
    work = samples[MODELS[0]].ask("kserve_v2")
    counts = THREADS if number % 2 == 0 else THREADS[::-1]
    for cpu in (servers.SERVER_CPU, None):
        for count in counts:
            with gateway_side(repository, "h2", cpu, [f"--loop-threads={count}"]) as side:
                put_load(side, work, effort.warm, connections=16, streams=4)
                found = put_load(side, work, effort.seconds, connections=16, streams=4).as_dict()
                where = {"round": number, "threads": count, "processors": "one" if cpu is not None else "all"}
                print(where, found["cpu_us_per_call"], file=sys.stderr)
                yield where | {"memory_mib": side.tree.usage().memory_mib} | found


def _lstm(repository: Path, effort: Effort, number: int) -> Iterator[Record]:
    """64 callers of one row each of the model that is slow in a process: their calls share batches."""
    bodies = asked.lstm_bodies(repository, SEED + number)
    path = asked.COLUMNS["kserve_v2"].path
    listeners = ("h2", "grpc_aio") if number % 2 == 0 else ("grpc_aio", "h2")
    with ExitStack() as stack:
        sides = [stack.enter_context(gateway_side(repository, listener)) for listener in listeners]
        for side in sides:
            how: Record = {"address": side.address, "path": path, "bodies": bodies, "connections": CALLERS}
            run(Load(seconds=effort.warm, streams=1, **how))
            before = side.tree.cpu_seconds()
            result = run(Load(seconds=max(1.0, effort.seconds), streams=1, **how))
            cpu = side.tree.cpu_seconds() - before
            if not result.all_ok:
                raise MeasurementError(f"{side.name}, {LSTM}: {dict(result.said)}, {dict(result.errors)}")
            print(side.name, LSTM, round(result.rate), file=sys.stderr)
            yield {"round": number, "side": side.name} | figures(result, cpu, 1).as_dict()


def _starts(repository: Path, times: int, folder: Path, cold: bool) -> Iterator[Record]:
    """Seconds until a gateway is ready, with compiled kernels on disk and without any."""
    for number in range(times):
        for listener in ("h2", "grpc_aio"):
            with gateway_side(repository, listener) as side:
                memory = side.tree.usage().memory_mib
                yield {"side": listener, "kernels": "kept", "seconds": side.seconds, "idle_mib": memory}
            if cold and number == 0:
                with gateway_side(repository, listener, kernels=folder / f"kernels-{listener}") as side:
                    yield {"side": listener, "kernels": "none", "seconds": side.seconds}


STUDY = Study("listener", Path("docs/listener-performance.md"), measure, page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=5, help="new processes of each side")
    parser.add_argument("--rate", type=float, default=RATE, help="calls a second at which latency is measured")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where Triton is installed")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
