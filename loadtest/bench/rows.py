"""The rows that every peer is asked, in both forms, and what onnxruntime in this process says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.answers import Probabilities
from loadtest.bench.load import Work
from loadtest.bench.peer import Rows, Wire
from loadtest.measure import KEEP, MeasurementError
from loadtest.published import newest_version
from loadtest.rows import MISSING_SHARE, draw_rows, take
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.repository.versions import load_version

BODIES = 1000
SEED = 20_260_601


@dataclass(frozen=True)
class Sample:
    """Calls of one model, and the expected float32[rows, C] of the first `KEEP`."""

    model: str
    size: int
    calls: Sequence[Rows]
    expected: Sequence[Probabilities]

    def work(self, wire: Wire) -> Work:
        """The same rows as `wire` asks for them. Raises MeasurementError when two bodies come out equal."""
        calls = self.calls[:1] if wire.rowless else self.calls
        bodies = [wire.encode(self.model, rows) for rows in calls]
        if len(set(bodies)) != len(calls):
            raise MeasurementError(f"{wire.name}: only {len(set(bodies))} of {len(calls)} bodies are distinct")
        expected = list(self.expected) * (KEEP if wire.rowless else 1)
        return Work(wire, wire.path.format(model=self.model), self.size, bodies, expected, distinct=len(bodies))


def draw(model_repo: Path, model: str, size: int, missing: float = MISSING_SHARE, bodies: int = BODIES) -> Sample:
    """Calls of `size` rows each for the newest version of `model`, no row drawn twice; the same ones every time."""
    folder = newest_version(model_repo / model)
    served = load_version(folder)
    backend = OnnxRuntimeBackend((folder / "model.onnx").read_bytes(), 1)
    columns = draw_rows(served.contract, size * bodies, SEED + size, missing)
    calls, expected = [], []
    for start in range(0, size * bodies, size):
        raw = take(columns, start, start + size)
        tensors = served.graph_tensors(served.program.run(served.schema.assemble(raw, size)))
        calls.append(Rows(raw, tensors["features"]))
        if len(calls) <= KEEP:
            expected.append(backend.run(tensors)["probabilities"])
    return Sample(model, size, calls, expected)
