"""What loops counted, brought to the metrics: the difference to what was brought before."""

from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2.flat import Flat
from serving.listeners.h2.loop import Loop
from serving.stages import BACKEND, CACHE, DECODE, ENCODE, FEATURES, QUEUE, STORE
from serving.telemetry.loops import LoopCounts
from serving.telemetry.metrics import Metrics

METHODS = (("kserve", "ModelInfer"), ("tf_serving", "Predict"), ("epm", "Predict"), ("epm", "StreamPredict"))
SIZES = ("small", "large")
STAGES = (QUEUE, DECODE, FEATURES, BACKEND, ENCODE, STORE, CACHE)


class Counted:
    """Remembers what was brought of each version."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._brought: WeakKeyDictionary[Flat, NDArray[np.int64]] = WeakKeyDictionary()

    def settle(self, flats: Iterable[Flat]) -> None:
        """Bring what was counted since of these versions."""
        if self._metrics.on:
            for flat in flats:
                self._bring(flat)

    def _bring(self, flat: Flat) -> None:
        now = flat.counts.sum(axis=0)
        before = self._brought.get(flat)
        self._brought[flat] = now
        new = now if before is None else now - before
        if not new.any():
            return
        served, requests = flat.served, self._metrics.requests
        model = (served.name, served.version)
        calls = new[: count.AT_STAGES].reshape(count.METHODS, count.SIZES, count.WHOLE)
        for method, size in np.argwhere(calls[:, :, :-1].any(axis=2)).tolist():
            *buckets, nanoseconds = calls[method, size].tolist()
            requests.add(METHODS[method], model, SIZES[size], buckets, nanoseconds / 1e9)
        stages = new[count.AT_STAGES : count.AT_ROWS].reshape(count.TIMED_STAGES, count.STAGE)
        for stage, cells in zip(STAGES, stages, strict=True):
            *buckets, nanoseconds = cells.tolist()
            if any(buckets):
                requests.add_stage(model, stage, buckets, nanoseconds / 1e9)
        rows, low, forest_calls, forest_rows, forest_time, kept = new[count.AT_ROWS : count.AT_ROWS + 6].tolist()
        if rows:
            states = new[count.AT_STATES :].reshape(4, -1)
            self._metrics.inputs(served, states if states.any() else None, rows, low)
        if forest_calls:
            seconds = forest_time / 1e9
            self._metrics.backends.add(*model, "forest", forest_calls, forest_rows, seconds)
        if kept and flat.kept is not None:
            flat.kept.taken += kept


def counts_of(loops: Sequence[Loop]) -> LoopCounts:
    """Of all loops together."""
    cells = sum((loop.counts for loop in loops), np.zeros(count.COUNTS, np.int64))

    def named(**places: int) -> dict[str, int]:
        return {name: int(cells[place]) for name, place in places.items()}

    def free(all_: int, left: int) -> int:
        return sum(int(loop.words[all_] - loop.words[left]) for loop in loops)

    return LoopCounts(
        connections=named(
            accepted=count.ACCEPTED,
            refused=count.REFUSED_CONNECTIONS,
            closed=count.CLOSED_CONNECTIONS,
            idle=count.IDLE_CLOSED,
            slow=count.SLOW_CLOSED,
            aged=count.AGED,
        ),
        streams=named(
            opened=count.STREAMS_OPENED,
            closed=count.STREAMS_CLOSED,
            refused=count.STREAMS_REFUSED,
            reset=count.STREAMS_RESET,
        ),
        messages=named(
            compiled=count.ANSWERED, python=count.HANDED, featured=count.FEATURED, exhausted=count.EXHAUSTED
        ),
        octets=named(received=count.RECEIVED, sent=count.SENT),
        floods=int(cells[count.FLOODS]),
        protocol_errors=int(cells[count.PROTOCOL_ERRORS]),
        connections_open=free(at.CONNECTION_COUNT, at.FREE_CONNECTION_COUNT),
        calls_open=free(at.STREAM_COUNT, at.FREE_STREAM_COUNT),
        message_bytes=sum(int(loop.words[at.MEMORY]) for loop in loops),
    )
