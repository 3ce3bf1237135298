"""Forests by our own kernels beside onnxruntime, one thread each: `python -m loadtest.backends.forest`.

Random forests of depth 6 on 20 features, and the published grades. Both sides are asked in turn, every call with other
rows; what counts is the median of the rounds. Fails when the two answer differently.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.formats import onnx_forest, onnx_graph, shapes
from exporters.formats.onnx_builder import OnnxBuilder
from exporters.models.calibrated import CalibratedForest
from exporters.models.forest import from_boosters, from_xgboost
from loadtest import machine
from serving.backends.backend import InProcess, Promised
from serving.backends.forest import ForestBackend
from serving.backends.onnxruntime import OnnxRuntimeBackend

ROWS = (1, 64, 1024)
ASKED = {1: 2.5, 64: 1.8, 1024: 1.6}
"""Rows of a call -> how many times as fast as onnxruntime the forest is to be, at least."""
FEATURES, DEPTH, TRAINED_ON = 20, 6, 20_000
TOLERANCE = 1e-5
"""Largest difference of scores; sums of float32 in another order."""

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Work:
    """One model, and rows for it."""

    name: str
    model: bytes
    promised: Promised
    seen: Matrix
    """Rows as they come; what is measured are rows mixed from these, column by column."""

    def batches(self, count: int, rows: int, seed: int) -> list[Matrix]:
        """`count` times float32[rows, F], all rows different."""
        random = np.random.default_rng(seed)
        picked = random.integers(0, len(self.seen), (count * rows, self.seen.shape[1]))
        mixed = np.take_along_axis(self.seen, picked, axis=0)
        return list(mixed.reshape(count, rows, -1))


def works(repository: Path) -> list[Work]:
    """100 trees of one score, 300 of three classes with a calibration, without and with missing values; the grades."""
    made = [trained(trees, missing) for trees in (100, 300) for missing in (0.0, 0.1)]
    return [*made, published(repository)]


def learned(trees: int, missing: float) -> tuple[Any, Matrix]:
    """An `XGBClassifier`, and the rows it was trained on. 100 trees: a binary outcome; 300: three classes."""
    from xgboost import XGBClassifier

    random = np.random.default_rng(1)
    X = random.normal(size=(TRAINED_ON, FEATURES)).astype(np.float32)
    told = X[:, :6].sum(axis=1) + X[:, 6] * X[:, 7] + random.normal(scale=2, size=len(X))
    X[random.random(X.shape) < missing] = np.nan
    binary = trees == 100
    learner = XGBClassifier(
        n_estimators=trees if binary else trees // 3,
        max_depth=DEPTH,
        learning_rate=0.1,
        objective="binary:logistic" if binary else "multi:softprob",
        random_state=1,
        n_jobs=1,
    )
    learner.fit(X, np.digitize(told, [0.0] if binary else [-1.0, 1.0]))
    return learner, X


def trained(trees: int, missing: float) -> Work:
    """100 trees: the score of a binary outcome; 300: probabilities of three classes. missing: share of cells."""
    learner, X = learned(trees, missing)
    name = f"{trees} trees, {missing:.0%} missing"
    if trees == 100:
        graph = OnnxBuilder()
        onnx_forest.add(graph, from_boosters([learner.get_booster()]), "features", "margin")
        model = graph.to_bytes("margin", {"features": (FEATURES,)}, {"margin": (1,)})
        return Work(name, model, {"margin": ("float32", (1,))}, X)
    calibrated = CalibratedForest(from_xgboost(learner), 0.9, np.array([0.1, 0.0, -0.1], np.float32))
    return Work(name, onnx_graph.write(calibrated, "classes"), _classes(3), X)


def published(repository: Path) -> Work:
    """The newest version of performance_model."""
    folder = max((repository / "performance_model").glob("[0-9]*"), key=lambda version: int(version.name))
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        seen = golden["features"].astype(np.float32)
        classes = golden[f"output.{shapes.PROBABILITIES}"].shape[1]
    return Work(f"performance_model/{folder.name}", (folder / "model.onnx").read_bytes(), _classes(classes), seen)


def _classes(count: int) -> Promised:
    return {shapes.PROBABILITIES: ("float32", (count,)), shapes.LABEL: ("int32", ())}


def measure(repository: Path, rounds: int = 15, moment: float = 0.05, rows: Iterable[int] = ROWS) -> dict[str, Any]:
    """Everything as plain values. rounds: turns of each side; moment: seconds of a turn. Raises ValueError."""
    described = machine.describe()
    cases = []
    for work in works(repository):
        ours, theirs = ForestBackend(work.model, work.promised), OnnxRuntimeBackend(work.model, threads=1)
        for count in rows:
            check(work, ours, theirs, work.batches(1, count, 0)[0])
            case = {"model": work.name, "rows": count, **_side_by_side(work, ours, theirs, count, rounds, moment)}
            cases.append(case | {"asked": ASKED.get(count)})
    return {"machine": described, "rounds": rounds, "moment": moment, "cases": cases}


def check(work: Work, ours: InProcess, theirs: InProcess, X: Matrix) -> None:
    """Raises ValueError when the two answer differently."""
    expected, got = theirs.run({"features": X}), ours.run({"features": X})
    for output, (kind, _) in work.promised.items():
        if kind == "float32" and not np.allclose(got[output], expected[output], rtol=TOLERANCE, atol=TOLERANCE):
            raise ValueError(f"{work.name}, {len(X)} rows: {output} differs from onnxruntime's")


def _side_by_side(
    work: Work, ours: InProcess, theirs: InProcess, rows: int, rounds: int, moment: float
) -> dict[str, Any]:
    """Median microseconds of a call of each side; the rounds' ratios, and the median of them."""
    calls = max(3, min(4000, 200_000 // rows))
    times: dict[str, list[float]] = {"forest_us": [], "onnxruntime_us": []}
    gc.collect()
    gc.disable()
    try:
        batches = [{"features": X} for X in work.batches(calls, rows, 1)]
        for _ in range(rounds):
            times["forest_us"].append(_turn(ours, batches, moment))
            times["onnxruntime_us"].append(_turn(theirs, batches, moment))
    finally:
        gc.enable()
    ratios = [slow / quick for quick, slow in zip(times["forest_us"], times["onnxruntime_us"], strict=True)]
    return {
        **{side: statistics.median(found) for side, found in times.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def _turn(backend: InProcess, batches: list[dict[str, Matrix]], moment: float) -> float:
    """Microseconds of a call, over calls with other rows for a moment, at least three; one before is not counted."""
    backend.run(batches[-1])
    done, start = 0, time.perf_counter()
    for batch in batches:
        backend.run(batch)
        done += 1
        if done >= 3 and not done % 8 and time.perf_counter() - start > moment:
            break
    return (time.perf_counter() - start) / done * 1e6


def table(figures: dict[str, Any]) -> str:
    """The figures in columns."""
    lines = [f"{'model':28} {'rows':>5} {'forest':>10} {'onnxruntime':>12} {'times':>6} {'asked':>6}"]
    lines += [
        f"{case['model']:28} {case['rows']:5} {case['forest_us']:7.1f} us {case['onnxruntime_us']:9.1f} us "
        f"{case['ratio']:6.1f} {case['asked'] or '':>6}"
        for case in figures["cases"]
    ]
    return "\n".join(lines)


def broken(figures: dict[str, Any]) -> list[str]:
    """A sentence for each figure below what is asked."""
    return [
        f"{case['model']}, {case['rows']} rows: {case['ratio']:.2f} times onnxruntime, {case['asked']} are asked"
        for case in figures["cases"]
        if case["asked"] and case["ratio"] < case["asked"]
    ]


def main(arguments: list[str] | None = None) -> int:
    """Print the table. 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.backends.forest", description=__doc__)
    parser.add_argument("--model-repo", type=Path, default=Path("model_repo"))
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument("--moment", type=float, default=0.05, help="seconds of a turn")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="rows of a call")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args(arguments)
    try:
        figures = measure(options.model_repo, options.rounds, options.moment, options.rows)
        if options.json:
            options.json.write_text(json.dumps(figures, indent=1) + "\n")
    except (OSError, ValueError) as error:
        print(f"forest: {error}", file=sys.stderr)
        return 1
    print(table(figures))
    for sentence in broken(figures):
        print(f"forest: {sentence}", file=sys.stderr)
    return int(bool(broken(figures)))


if __name__ == "__main__":
    sys.exit(main())
