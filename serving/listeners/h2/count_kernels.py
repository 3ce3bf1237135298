"""What a loop counts: cells that only it writes, and Python reads when metrics are asked for.

A loop has int64[COUNTS] of its own, and of each model int64[width(inputs)] (`model_kernels.COUNTS`).
"""

import numpy as np

from serving.features.row_kernels import STATES
from serving.jit import bare, bare_inlined
from serving.listeners.h2.wire_kernels import next_nonzero

ACCEPTED, REFUSED_CONNECTIONS, CLOSED_CONNECTIONS = 0, 1, 2
STREAMS_OPENED, STREAMS_CLOSED, STREAMS_REFUSED, STREAMS_RESET = 3, 4, 5, 6
"""Refused: no room for them. Reset: by the client, before their answer was complete."""
ANSWERED, HANDED, EXHAUSTED = 7, 8, 9
"""Messages that were answered here, given to Python, and refused for want of memory or room in the ring."""
RECEIVED, SENT = 10, 11
"""Bytes."""
PROTOCOL_ERRORS, FLOODS, IDLE_CLOSED, SLOW_CLOSED, AGED = 12, 13, 14, 15, 16
TURNS, DROPPED, NO_RING, FEATURED = 17, 18, 19, 20
"""Times that the loop woke up; answers of Python for calls that were gone; GONE and END that had to wait; messages that
were answered here with what Python said of their rows."""
STORED_ROWS = 21
"""Rows by id that were answered here."""
COUNTS = 32

BOUNDS = np.array([0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]) * 1e9
STAGE_BOUNDS = np.append(np.array([0.00001, 0.000025, 0.00005, 0.0001]) * 1e9, BOUNDS)
"""Nanoseconds; as `telemetry.requests` has them, which a test compares."""
QUEUE, DECODE, FEATURES, BACKEND, ENCODE = range(5)
LAPS = 5
"""QUEUE: until the loop came to the call. Stages from QUEUE to ENCODE end one after the other."""
STORE, CACHE = 5, 6
TIMED_STAGES = 7
"""Two are parts of others, which are the shorter for it: STORE of DECODE, CACHE of BACKEND."""
TIMES = 8
"""Words of `times`: when a call began, when each of LAPS ended, how long STORE and CACHE took."""
METHODS, SIZES = 4, 2
"""Methods: KServe, TF Serving, epm, epm's stream. Sizes: small, large."""
WHOLE = 15 + 1
"""Cells of a histogram of whole calls: buckets and the sum in nanoseconds."""
STAGE = 19 + 1
AT_STAGES = METHODS * SIZES * WHOLE
AT_ROWS = AT_STAGES + TIMED_STAGES * STAGE
"""Rows that raw inputs were given of, and how many of them had low coverage; calls, rows and nanoseconds of the
forest; rows whose predictions were kept; then int64[4, inputs], how often each input was in each state."""
RAW_ROWS, LOW_ROWS, FOREST_CALLS, FOREST_ROWS, FOREST_TIME, KEPT_ROWS = range(6)
AT_STATES = AT_ROWS + 8
SMALL_ROWS = 64


@bare_inlined
def observe(cells, start, bounds, time):
    """Count a time in a histogram that begins at `start`."""
    bucket = 0
    while bucket < bounds.size and time > bounds[bucket]:
        bucket += 1
    cells[start + bucket] += 1
    cells[start + bounds.size + 1] += time


@bare
def answered(cells, method, rows, times):
    """Count an answer. times: int64[TIMES]."""
    size = 0 if rows <= SMALL_ROWS else 1
    observe(cells, (method * SIZES + size) * WHOLE, BOUNDS, times[LAPS] - times[0])
    for stage in range(TIMED_STAGES):
        took = times[stage + 1] - times[stage] if stage < LAPS else times[stage + 1]
        if stage == DECODE:
            took -= times[STORE + 1]
        elif stage == BACKEND:
            took -= times[CACHE + 1]
        if took > 0:
            observe(cells, AT_STAGES + stage * STAGE, STAGE_BOUNDS, took)


@bare
def computed(cells, rows, time):
    """Count rows that the forest computed in so many nanoseconds."""
    cells[AT_ROWS + FOREST_CALLS] += 1
    cells[AT_ROWS + FOREST_ROWS] += rows
    cells[AT_ROWS + FOREST_TIME] += time


@bare
def kept(cells, rows):
    """Count rows whose predictions were kept."""
    cells[AT_ROWS + KEPT_ROWS] += rows


@bare
def inspected(cells, rows, low, marked, marks):
    """Count raw rows that were answered, and the states of their inputs. marks: uint8[rows, inputs]."""
    cells[AT_ROWS + RAW_ROWS] += rows
    cells[AT_ROWS + LOW_ROWS] += low
    if marked:
        inputs = marks.shape[1]
        for i in range(rows):
            c = next_nonzero(marks[i], 0, inputs)
            while c < inputs:
                for state in range(STATES):
                    cells[AT_STATES + state * inputs + c] += marks[i, c] >> state & 1
                c = next_nonzero(marks[i], c + 1, inputs)
