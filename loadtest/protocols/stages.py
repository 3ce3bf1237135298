"""Where the gateway's own time goes: its stages called in this process, each in turn, over the same distinct bodies.

A stage is a name and something to call with the number of a body. What lies between two public functions of the
gateway is timed with the pipeline replaced by one that stops, or that answers at once, and by subtraction. Only
`gateway_stages` and `answer_function` know the gateway.
"""

import statistics
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.measure import Work

TOUCHED_BYTES = 8 << 20
"""Other memory that is written between two calls, to see what a handler costs whose own is not in the caches."""

MOST_ROWS = 4096
Callback = Callable[[int], object]


@dataclass(frozen=True)
class Stage:
    """A stage: `run` is called with the number of a body; the stage is what that takes less the stages in `without`.

    One whose name begins with an underscore is only there to be subtracted.
    """

    name: str
    run: Callback
    without: tuple[str, ...] = ()


def time_stages(stages: Sequence[Stage], bodies: int, repeats: int) -> dict[str, float]:
    """Processor microseconds a call of each stage: median of `repeats` passes over all bodies, after one not counted.

    Passes of the stages alternate, so that a slower moment of the machine meets them all.
    """
    passes: dict[str, list[float]] = {stage.name: [] for stage in stages}
    for number in range(repeats + 1):
        for stage in stages:
            began = time.thread_time_ns()
            for body in range(bodies):
                stage.run(body)
            if number:
                passes[stage.name].append((time.thread_time_ns() - began) / bodies / 1e3)
    whole = {name: statistics.median(times) for name, times in passes.items()}
    shown = [stage for stage in stages if not stage.name.startswith("_")]
    return {stage.name: whole[stage.name] - sum(whole[name] for name in stage.without) for stage in shown}


class Stopped(Exception):
    """No error: the end of what is timed."""


class StoppingPipeline:
    """For a protocol instead of the pipeline: takes what a protocol has decoded, and ends the call there."""

    def __init__(self, repository: Any) -> None:
        self.repository = repository
        self.max_rows = MOST_ROWS
        self.inputs: Any = None

    async def predict(self, served: Any, inputs: Any, *_: Any) -> Any:
        self.inputs = inputs
        raise Stopped


class InstantPipeline:
    """For a protocol instead of the pipeline: answers at once with the prediction it was given before."""

    def __init__(self, repository: Any) -> None:
        self.repository = repository
        self.max_rows = MOST_ROWS
        self.prediction: Any = None

    async def predict(self, served: Any, inputs: Any, *_: Any) -> Any:
        return self.prediction


def gateway_stages(model_repo: str, work: Work, model: str) -> list[Stage]:
    """The stages of one unary prediction in `work.protocol`, for the newest version of `model`."""
    from serving.pipeline import Pipeline
    from serving.protocols.method import Call
    from serving.repository.repository import Repository
    from serving.settings import Settings
    from serving.stages import BACKEND, DECODE, FEATURES, QUEUE
    from serving.telemetry.metrics import Metrics

    repository = Repository(Path(model_repo))
    repository.scan()
    served = repository.resolve(model)
    pipeline, stopping, instant = (
        Pipeline(repository, Settings(cache="off")),
        StoppingPipeline(repository),
        InstantPipeline(repository),
    )
    decode, both = answer_function(work.protocol.path, stopping), answer_function(work.protocol.path, instant)
    metrics, method, answering = Metrics(), (work.protocol.name, "unary"), (served.name, served.version)
    inputs, ready, predictions = [], [], []
    for body in work.bodies:
        decode_only(decode, body, Call(None))
        inputs.append(stopping.inputs)
        raw = served.schema.assemble(stopping.inputs, work.rows)
        ready.append(served.graph_tensors(served.program.run(raw)))
        predictions.append(result_of(pipeline.predict(served, stopping.inputs)))

    def features(number: int) -> None:
        raw = served.schema.assemble(inputs[number], work.rows)
        served.schema.inspect(raw)
        served.program.run(raw)

    def translate(number: int) -> None:
        instant.prediction = predictions[number]
        result_of(both(work.bodies[number], Call(None)))

    answer, elsewhere = answer_function(work.protocol.path, pipeline), np.zeros(TOUCHED_BYTES // 8)

    def touch(_: int) -> None:
        np.add(elsewhere, 1.0, out=elsewhere)

    def count(_: int) -> None:
        watch = metrics.begun(method)
        watch.rows = work.rows
        for stage in (DECODE, QUEUE, FEATURES, BACKEND):
            watch.lap(stage)
        metrics.finished(method, answering, "OK", watch)

    def whole(number: int) -> None:
        result_of(answer(work.bodies[number], Call(None)))

    def whole_after_touch(number: int) -> None:
        touch(number)
        whole(number)

    return [
        Stage("decode", lambda number: decode_only(decode, work.bodies[number], Call(None))),
        Stage("rows, checks and features", features),
        Stage("model", lambda number: served.run(ready[number])),
        Stage(
            "margin, warnings, admission",
            lambda number: result_of(pipeline.predict(served, inputs[number])),
            without=("rows, checks and features", "model"),
        ),
        Stage("encode", translate, without=("decode",)),
        Stage("metrics", count),
        Stage("_touch", touch),
        Stage("_whole", whole),
        Stage("the same code with colder caches", whole_after_touch, without=("_touch", "_whole")),
    ]


def answer_function(path: str, pipeline: Any) -> Callable[[bytes, Any], Coroutine[Any, Any, bytes]]:
    """The protocol's function from request bytes to answer bytes that serves `path`."""
    from serving.protocols.epm import Epm
    from serving.protocols.kserve import KServe
    from serving.protocols.tf_serving import TfServing

    answers: Mapping[str, Any] = {
        f"/{service.name}/{name}": method.answer
        for protocol in (Epm, KServe, TfServing)
        for service in protocol(pipeline).services()
        for name, method in service.methods.items()
    }
    return answers[path]  # type: ignore[no-any-return]


def decode_only(answer: Callable[[bytes, Any], Coroutine[Any, Any, bytes]], body: bytes, call: Any) -> None:
    """Let a protocol with a `StoppingPipeline` take a request."""
    try:
        result_of(answer(body, call))
    except Stopped:
        return
    raise AssertionError("the protocol never asked the pipeline")


def result_of(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing: no event loop is timed."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a small batch waited for something: raise EPM_INLINE_ROWS or send fewer rows")
