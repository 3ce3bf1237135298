"""Where `epm score` spends its time on a CSV file, step by step, in this process."""

import time
from collections import defaultdict
from pathlib import Path

from serving.backends.chain import Chain
from serving.batch.answers import Answers
from serving.batch.csv_sink import rows
from serving.batch.csv_source import CsvSource
from serving.batch.inputs import Inputs, Layout
from serving.repository.served import ServedModel

STEPS = (
    "cut into records and cells",
    "cells into columns",
    "columns into features",
    "forest",
    "answers, in all",
    "write",
)


def time_stages(file: Path, served: ServedModel, chunk_rows: int) -> dict[str, float]:
    """Microseconds a row of each step over a whole file. `answers, in all` contains features and forest."""
    seconds: dict[str, float] = defaultdict(float)
    with file.open("rb", buffering=0) as opened:
        source = CsvSource(opened, file.name)
        inputs, answers, chain = (
            Inputs(served.contract, source, Layout("employee")),
            Answers(served),
            Chain(served.backends),
        )
        total = 0
        while True:
            marks = [time.perf_counter()]
            lines = source.look(chunk_rows)
            if lines is None:
                break
            marks.append(time.perf_counter())
            batch = inputs.read(lines)
            marks.append(time.perf_counter())
            tensors = served.graph_tensors(served.program.run(served.schema.assemble(batch.columns, len(batch))))
            marks.append(time.perf_counter())
            chain.run(tensors)
            marks.append(time.perf_counter())
            table = answers.answer(batch)
            marks.append(time.perf_counter())
            rows(batch.ids, table)
            marks.append(time.perf_counter())
            for step, begin, end in zip(STEPS, marks, marks[1:], strict=False):
                seconds[step] += end - begin
            total += len(lines)
            source.take(lines, len(lines))
    return {step: seconds[step] / total * 1e6 for step in STEPS}
