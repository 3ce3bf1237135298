"""The gate before publishing: every export has to answer as the trained model does, row by row."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.errors import ParityError

ROWS = 10_000
TOLERANCE = 1e-5
_SHOWN = 5  # worst rows in a report


@dataclass(frozen=True)
class Answers:
    """probabilities: float32[n, C]; label: int[n]; `name` says who answered."""

    name: str
    probabilities: NDArray[np.float32]
    label: NDArray[np.int32]


@dataclass(frozen=True)
class Agreement:
    """How far an export is from the trained model over n rows."""

    name: str
    rows: int
    difference: float
    """Largest difference of a probability."""
    ties: int
    """Rows whose label differs because the two best classes are closer than the tolerance."""


def trained_answers(probabilities: NDArray[np.float32], name: str = "trained model") -> Answers:
    """What the trained model says. probabilities: float32[n, C]."""
    return Answers(name, probabilities, probabilities.argmax(axis=1).astype(np.int32))


def onnx_answers(model: bytes, features: NDArray[np.float32], name: str = "onnxruntime") -> Answers:
    """What onnxruntime makes of `model`, on one thread: with more, sums differ in their last bits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    probabilities, label = session.run(["probabilities", "label"], {"features": features})
    return Answers(name, probabilities, label)


def check_features(kernel: NDArray[np.float32], reference: NDArray[np.float32], names: tuple[str, ...]) -> None:
    """Hold the gateway's kernel to plain NumPy, bit for bit. Both float32[n, F]. Raises ParityError."""
    differs = ~((kernel == reference) | (np.isnan(kernel) & np.isnan(reference)))
    if not differs.any():
        return
    lines = [f"features: {differs.any(axis=1).sum()} of {len(kernel)} rows differ between the kernel and NumPy"]
    for row in np.flatnonzero(differs.any(axis=1))[:_SHOWN].tolist():
        of_row = [f"{names[f]} {kernel[row, f]:.9g} / {reference[row, f]:.9g}" for f in np.flatnonzero(differs[row])]
        lines.append(f"  row {row}: " + ", ".join(of_row))
    raise ParityError("\n".join(lines))


def check_answers(
    trained: Answers,
    exported: Iterable[Answers],
    features: NDArray[np.float32],
    names: tuple[str, ...],
    tolerance: float = TOLERANCE,
) -> list[Agreement]:
    """Hold each export to the trained model. features: float32[n, F], what all of them were given, for the report.

    Raises ParityError with the worst rows of the first export that differs by more than `tolerance` in a probability,
    or in a label where the two best classes are further apart than that.
    """
    agreements = []
    for answers in exported:
        if answers.probabilities.shape != trained.probabilities.shape or answers.label.shape != trained.label.shape:
            raise ParityError(
                f"{answers.name}: shapes {answers.probabilities.shape} and {answers.label.shape}, "
                f"expected {trained.probabilities.shape} and {trained.label.shape}"
            )
        difference = np.abs(answers.probabilities.astype(np.float64) - trained.probabilities).max(axis=1)
        best = np.sort(trained.probabilities, axis=1)
        tied = best[:, -1] - best[:, -2] <= tolerance
        relabelled = answers.label != trained.label
        wrong = ~(difference <= tolerance) | (relabelled & ~tied)  # a NaN is not within any tolerance
        if wrong.any():
            raise ParityError(_report(trained, answers, difference, wrong, features, names))
        agreements.append(Agreement(answers.name, len(wrong), float(difference.max()), int((relabelled & tied).sum())))
    return agreements


def _report(
    trained: Answers,
    answers: Answers,
    difference: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    features: NDArray[np.float32],
    names: tuple[str, ...],
) -> str:
    """The worst rows: number, both answers, which features are unusual (names only: values may be personal)."""
    lines = [f"{answers.name}: {wrong.sum()} of {len(wrong)} rows differ from the {trained.name}; the worst:"]
    order = np.argsort(np.where(np.isnan(difference), np.inf, difference) * wrong + wrong, kind="stable")[::-1]
    low, high = np.nanmin(features, axis=0), np.nanmax(features, axis=0)
    for row in order[: min(_SHOWN, int(wrong.sum()))].tolist():
        x = features[row]
        missing = [names[f] for f in np.flatnonzero(np.isnan(x))]
        edge = [names[f] for f in np.flatnonzero(((x == low) | (x == high)) & (high - low > 1))]
        lines.append(
            f"  row {row}: {trained.name} {_answer(trained, row)}, {answers.name} {_answer(answers, row)}; "
            f"missing features: {', '.join(missing) or 'none'}; at an extreme: {', '.join(edge) or 'none'}"
        )
    return "\n".join(lines)


def _answer(answers: Answers, row: int) -> str:
    return "[" + " ".join(f"{p:.7f}" for p in answers.probabilities[row]) + f"] label {answers.label[row]}"
