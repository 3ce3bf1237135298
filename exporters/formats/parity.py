"""The gate before publishing: every export has to answer as the trained model does, row by row."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.errors import ParityError
from exporters.models.made import Tensors
from serving.contract import ClassOutput, Contract, ProbabilityOutput

ROWS = 10_000
TOLERANCE = 1e-5
_SHOWN = 5  # worst rows in a report


@dataclass(frozen=True)
class Answers:
    """outputs: the graph's outputs by name, [n, ...]; `name` says who answered."""

    name: str
    outputs: Tensors


@dataclass(frozen=True)
class Agreement:
    """How far an export is from the trained model over n rows."""

    name: str
    rows: int
    difference: float
    """Largest difference of a number: a probability, where the model gives probabilities."""
    ties: int
    """Rows whose label differs where the decision is closer than the tolerance."""


def onnx_answers(model: bytes, inputs: Tensors, name: str = "onnxruntime", threads: int = 1) -> Answers:
    """What onnxruntime makes of `model`, on one thread: with more, sums differ in their last bits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs = [tensor.name for tensor in session.get_outputs()]
    return Answers(name, dict(zip(outputs, session.run(outputs, dict(inputs)), strict=True)))


def check_features(kernel: Tensors, reference: Tensors, contract: Contract) -> None:
    """Hold the gateway's kernel to plain NumPy, bit for bit: graph inputs of the same rows. Raises ParityError."""
    differs = {name: _differs(values, reference[name]) for name, values in kernel.items()}
    rows = _any_place(differs)
    if not rows.any():
        return
    lines = [f"features: {rows.sum()} of {len(rows)} rows differ between the kernel and NumPy"]
    for row in np.flatnonzero(rows)[:_SHOWN].tolist():
        places = [
            f"{place} by {abs(kernel[name][row][where] - reference[name][row][where]):.0e}"
            for name, differ in differs.items()
            for where, place in _places(differ[row], contract).items()
        ]
        lines.append(f"  row {row}: " + ", ".join(places))
    raise ParityError("\n".join(lines))


def check_answers(
    contract: Contract,
    trained: Answers,
    exported: Iterable[Answers],
    inputs: Tensors,
    tolerance: float = TOLERANCE,
) -> list[Agreement]:
    """Hold each export to the trained model. inputs: graph inputs, what all of them were given, for the report.

    Raises ParityError with the worst rows of the first export that has other tensors than `contract` promises, or that
    differs by more than `tolerance` in a number, or in a label where the decision is not as close as that.
    """
    numbers = [name for name, (kind, _) in contract.graph_outputs().items() if kind == "float32"]
    _check_tensors(contract, trained, trained)
    close = _close_decisions(contract, trained, tolerance)
    agreements = []
    for answers in exported:
        _check_tensors(contract, trained, answers)
        difference = np.max([_difference(answers.outputs[name], trained.outputs[name]) for name in numbers], axis=0)
        relabelled = {name: answers.outputs[name] != trained.outputs[name] for name in close}
        ties = sum((relabelled[name] & near for name, near in close.items()), np.zeros(len(difference), bool))
        wrong = ~(difference <= tolerance)  # a NaN is not within any tolerance
        for name, near in close.items():
            wrong |= relabelled[name] & ~near
        if wrong.any():
            raise ParityError(_report(contract, trained, answers, difference, wrong, inputs))
        agreements.append(Agreement(answers.name, len(wrong), float(difference.max()), int(ties.sum())))
    return agreements


def _close_decisions(contract: Contract, trained: Answers, tolerance: float) -> dict[str, NDArray[np.bool_]]:
    """Label -> bool[n]: the two best classes, or probability and threshold, are no further apart than `tolerance`.

    Raises ParityError where a label is not what the numbers beside it decide.
    """
    close = {}
    for output in contract.outputs:
        if isinstance(output, ClassOutput):
            probabilities = trained.outputs[output.probabilities].astype(np.float64)
            best = np.sort(probabilities, axis=1)
            decided, distance = probabilities.argmax(axis=1), best[:, -1] - best[:, -2]
        elif isinstance(output, ProbabilityOutput) and output.threshold is not None:
            above = trained.outputs[output.tensor].astype(np.float64) - output.threshold
            decided, distance = (above >= 0).astype(np.int64), np.abs(above)
        else:
            continue
        close[output.label] = distance <= tolerance
        wrong = (trained.outputs[output.label] != decided) & ~close[output.label]
        if wrong.any():
            raise ParityError(
                f"{trained.name}: {wrong.sum()} of {len(wrong)} rows have another {output.label} than the contract's "
                f"{_rule(output)} gives, first row {np.flatnonzero(wrong)[0]}"
            )
    return close


def _rule(output: ClassOutput | ProbabilityOutput) -> str:
    return "likeliest class" if isinstance(output, ClassOutput) else f"threshold {output.threshold:.7g}"


def _check_tensors(contract: Contract, trained: Answers, answers: Answers) -> None:
    rows = len(next(iter(trained.outputs.values())))
    for name, (kind, shape) in contract.graph_outputs().items():
        got = answers.outputs.get(name)
        came = "none" if got is None else f"{got.dtype}{list(got.shape)}"
        if came != f"{kind}{[rows, *shape]}":
            raise ParityError(f"{answers.name}: output {name}: got {came}, expected {kind}{[rows, *shape]}")


def _difference(got: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """float64[n]: the largest in each row."""
    return np.abs(got.astype(np.float64) - expected).reshape(len(got), -1).max(axis=1)


def _differs(got: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.bool_]:
    return ~((got == expected) | (np.isnan(got) & np.isnan(expected)))


def _any_place(marks: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """bool[n]: whether anything is marked in a row."""
    return np.any([mark.reshape(len(mark), -1).any(axis=1) for mark in marks.values()], axis=0)


def _places(marks: NDArray[np.bool_], contract: Contract) -> dict[tuple[int, ...], str]:
    """Where one row of a graph input is marked -> what stands there: a feature, or a window's column and month."""
    program = contract.program
    return {
        tuple(at): program.features[at[0]] if len(at) == 1 else f"{program.window[at[1]]} of month {at[0]}"
        for at in np.argwhere(marks).tolist()
    }


def _report(
    contract: Contract,
    trained: Answers,
    answers: Answers,
    difference: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    inputs: Tensors,
) -> str:
    """The worst rows: number, both answers, which inputs are unusual (names only: values may be personal)."""
    count = f"{wrong.sum()} of {len(wrong)} rows differ from the {trained.name}"
    lines = [f"{answers.name}: {count}, numbers by up to {difference.max():.1e}; the worst:"]
    order = np.argsort(np.where(np.isnan(difference), np.inf, difference) * wrong + wrong, kind="stable")[::-1]
    missing = {name: np.isnan(values) for name, values in inputs.items()}
    extreme = {name: _at_an_extreme(values) for name, values in inputs.items()}
    lines += [
        f"  row {row}: {trained.name} {_answer(contract, trained, row)}, "
        f"{answers.name} {_answer(contract, answers, row)}; "
        f"missing features: {_named(missing, row, contract)}; at an extreme: {_named(extreme, row, contract)}"
        for row in order[: min(_SHOWN, int(wrong.sum()))].tolist()
    ]
    return "\n".join(lines)


def _at_an_extreme(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a value is the smallest or largest of all rows; flags and slots of categories have no extremes."""
    present = np.where(np.isnan(values), np.nanmean(values), values)
    low, high = present.min(axis=0), present.max(axis=0)
    return ((values == low) | (values == high)) & (high - low > 1)


def _named(marks: Mapping[str, NDArray[np.bool_]], row: int, contract: Contract) -> str:
    names = [place for mark in marks.values() for place in _places(mark[row], contract).values()]
    return ", ".join(names) or "none"


def _answer(contract: Contract, answers: Answers, row: int) -> str:
    """`[0.1000000 0.9000000] label 1`: numbers, then labels, in the contract's order."""
    kinds = contract.graph_outputs()
    numbers = [np.atleast_1d(answers.outputs[name][row]) for name, (kind, _) in kinds.items() if kind == "float32"]
    labels = [f" {name} {answers.outputs[name][row]}" for name, (kind, _) in kinds.items() if kind != "float32"]
    return "[" + " ".join(f"{number:.7f}" for number in np.concatenate(numbers)) + "]" + "".join(labels)


def report(agreements: Iterable[Agreement]) -> bytes:
    """`parity.json`: the same for programs, beside the card that says it to people."""
    exports = [
        {
            "export": one.name,
            "rows": one.rows,
            "largest_difference": float(f"{one.difference:.1e}"),
            "labels_that_differ": one.ties,
        }
        for one in agreements
    ]
    return json.dumps({"tolerance": TOLERANCE, "exports": exports}, indent=1).encode() + b"\n"
