"""What a run showed, kind by kind, as plain values that go through JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class KindFigures:
    """Of one kind: calls with failed ones among them, failures by name, latencies in milliseconds."""

    calls: int
    failures: dict[str, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def failed(self) -> int:
        """Calls that failed."""
        return sum(self.failures.values())


@dataclass(frozen=True)
class RunFigures:
    """Of one run. user_seconds: users there were, summed over its seconds. defects: exceptions of the users' own."""

    seconds: float
    user_seconds: float
    kinds: dict[str, KindFigures]
    defects: list[str] = field(default_factory=list)

    def write(self, file: Path) -> None:
        """As JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


def read(file: Path) -> RunFigures:
    """What `write` wrote. Raises OSError."""
    plain = json.loads(file.read_text("utf-8"))
    return RunFigures(**{**plain, "kinds": {name: KindFigures(**kind) for name, kind in plain["kinds"].items()}})


def round_ms(milliseconds: float) -> float:
    """To three figures. locust keeps a count for each value it has seen, and would round to whole milliseconds."""
    return float(f"{milliseconds:.3g}")


def ms(milliseconds: float) -> str:
    """With its unit, to three figures."""
    return f"{round_ms(milliseconds):,g} ms"
