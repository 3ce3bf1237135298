"""A contract's feature program as flat arrays, executed by one compiled kernel (or, to check it, by NumPy)."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.contract import MASK, CategoryInput, Contract, DateInput, HistoryInput, RawInput, Step, TextInput
from serving.errors import ContractError
from serving.features.operations import CATEGORY, CODES, DATE, MONTHLY, NUMBER, OPERATIONS, SAME, TEXT, Operation
from serving.features.rows import RawRows

PROGRAM_VERSION = 1
SCRATCH = 32768
"""Values of a block, about: 256 KiB, which the second-level cache holds."""
SMALLEST_BLOCK, LARGEST_BLOCK = 16, 128
_FLOAT32 = np.dtype(np.float32)
_NO_WINDOW = np.empty((0, 0, 0), _FLOAT32)


class Features(NamedTuple):
    """What a program makes of n rows. features: float32[n, F]; window: float32[n, T, W], [0, 0, 0] without one."""

    features: NDArray[np.float32]
    window: NDArray[np.float32]


@dataclass(frozen=True)
class CompiledProgram:
    """One flat array as `program_kernels.run_program` takes it, where its meaning stands."""

    program: NDArray[np.int64]
    features: int
    window: tuple[int, int] | None
    kernel: Callable[..., None]

    def run(self, rows: RawRows) -> Features:
        """Raw rows -> features and window."""
        n = len(rows.values)
        out = np.empty((n, self.features), _FLOAT32)
        window = np.empty((n, *self.window), _FLOAT32) if self.window else _NO_WINDOW
        self.kernel(rows.values, rows.history, self.program, out, window)
        return Features(out, window)


def compile_program(contract: Contract) -> CompiledProgram:
    """Flatten the program of `contract`. Raises ContractError when it uses what this gateway does not know."""
    from serving.features.program_kernels import WORK, run_program

    _check_version(contract)
    program, months = contract.program, contract.months
    kinds = _input_kinds(contract)
    categories = {raw.name: len(raw.categories) for raw in contract.inputs if isinstance(raw, CategoryInput)}
    scratch = _Scratch()
    place: dict[str, int] = {}
    for name in sorted(kinds, key=lambda name: kinds[name] == MONTHLY):  # stable: histories stand behind the others
        place[name] = scratch.take(months if kinds[name] == MONTHLY else 1)
    histories = sum(kind == MONTHLY for kind in kinds.values())
    first_history, mask = scratch.height - months * histories, -1
    read = {*program.features, *program.window, *(name for step in program.steps for name in step.inputs)}
    if histories and MASK in read:
        mask = place[MASK] = scratch.take(months)
        kinds[MASK] = MONTHLY
    last_read = {name: s for s, step in enumerate(program.steps) for name in step.inputs}
    last_read |= dict.fromkeys((*program.features, *program.window), len(program.steps))
    steps = np.zeros((len(program.steps), 7), np.int64)
    params: list[float] = []
    for s, step in enumerate(program.steps):
        operation = _operation(step)
        kinds[step.into] = _result(step, operation, kinds)
        _check_params(step, operation, months, categories)
        if operation.gives == SAME and step.inputs[0] in categories:
            categories[step.into] = categories[step.inputs[0]]
        inputs = [place[name] for name in step.inputs]
        high = months if kinds[step.inputs[0]] == MONTHLY else 1
        other = -1 if operation.of_history else inputs[-1]
        place[step.into] = scratch.take(months if kinds[step.into] == MONTHLY else 1)
        begin = len(params)
        params += step.params
        steps[s] = (CODES[step.op], inputs[0], other, place[step.into], high, begin, len(params))
        for name in {*step.inputs, step.into}:
            if last_read.get(name, s) == s:
                scratch.give_back(place[name], months if kinds[name] == MONTHLY else 1)
    _check_kinds(program.features, kinds, (NUMBER, CATEGORY, DATE), "a feature")
    _check_kinds(program.window, kinds, (MONTHLY,), "a column of the window")
    chosen = [place[name] for name in program.features]
    chosen += [place[name] + t for t in range(months) for name in program.window]
    height = scratch.height + WORK
    block = min(max(SCRATCH // height // 8 * 8, SMALLEST_BLOCK), LARGEST_BLOCK)
    cells = len(chosen) - len(program.features)
    header = [len(program.features), cells, height, block, mask, first_history, months, histories, len(steps)]
    flat = np.array([*header, *steps.ravel(), *chosen, *np.array(params, np.float64).view(np.int64)], np.int64)
    window = (months, len(program.window)) if program.window else None
    return CompiledProgram(flat, len(program.features), window, run_program)


class _Scratch:
    """Rows of the scratch memory; those of values that nothing reads any more are used again, the latest first.

    So that a block stays in the fast caches.
    """

    def __init__(self) -> None:
        self.height = 0
        self._spare: defaultdict[int, list[int]] = defaultdict(list)

    def take(self, high: int) -> int:
        """The first of `high` rows that nobody has."""
        if self._spare[high]:
            return self._spare[high].pop()
        self.height += high
        return self.height - high

    def give_back(self, row: int, high: int) -> None:
        self._spare[high].append(row)


def run_reference(contract: Contract, rows: RawRows) -> Features:
    """The same as `CompiledProgram.run`, in plain NumPy: what the kernel is held to."""
    values: dict[str, NDArray[np.float64]] = {}
    for number, name in enumerate(raw.name for raw in contract.inputs if not isinstance(raw, HistoryInput)):
        values[name] = rows.values[:, number]
    for number, name in enumerate(raw.name for raw in contract.inputs if isinstance(raw, HistoryInput)):
        values[name] = rows.history[:, number]
    if contract.months:
        given = ~np.isnan(rows.history).all(axis=1)
        values[MASK] = np.maximum.accumulate(given, axis=1) * 1.0
    with np.errstate(all="ignore"):
        for step in contract.program.steps:
            operation = OPERATIONS[step.op]
            values[step.into] = operation.reference(
                *(values[name] for name in step.inputs), *_arguments(operation, step.params)
            )
        n, window = len(rows.values), contract.program.window
        features = [values[name] for name in contract.program.features]
        return Features(
            np.stack(features, axis=1).astype(np.float32) if features else np.empty((n, 0), np.float32),
            np.stack([values[name] for name in window], axis=2).astype(np.float32) if window else _NO_WINDOW,
        )


def _check_version(contract: Contract) -> None:
    if contract.program.version != PROGRAM_VERSION:
        raise ContractError(
            f"feature program version {contract.program.version}, this gateway runs version {PROGRAM_VERSION}"
        )


def _input_kinds(contract: Contract) -> dict[str, str]:
    return {raw.name: _kind(raw) for raw in contract.inputs}


def _kind(raw: RawInput) -> str:
    if isinstance(raw, CategoryInput):
        return CATEGORY
    if isinstance(raw, TextInput):
        return TEXT
    if isinstance(raw, DateInput):
        return DATE
    return MONTHLY if isinstance(raw, HistoryInput) else NUMBER


def _operation(step: Step) -> Operation:
    operation = OPERATIONS.get(step.op)
    if operation is None:
        raise ContractError(f"step {step.into!r}: unknown operation {step.op!r}, known are {', '.join(OPERATIONS)}")
    variable = any(name.startswith("*") for name in operation.params)
    enough = len(step.params) >= len(operation.params) if variable else len(step.params) == len(operation.params)
    if len(step.inputs) != operation.inputs or not enough:
        raise ContractError(
            f"step {step.into!r}: {step.op} takes {operation.inputs} inputs and {len(operation.params)} parameters "
            f"({', '.join(operation.params)}), got {len(step.inputs)} and {len(step.params)}"
        )
    return operation


def _result(step: Step, operation: Operation, kinds: Mapping[str, str]) -> str:
    """The kind of value that a step gives."""
    given = [kinds[name] for name in step.inputs]
    for name, kind in zip(step.inputs, given, strict=True):
        if kind not in operation.takes:
            expected = " or ".join(operation.takes)
            raise ContractError(f"step {step.into!r}: {step.op} reads {name!r}, a {kind}, expected a {expected}")
    if MONTHLY in given and not operation.of_history:
        if set(given) != {MONTHLY}:
            raise ContractError(f"step {step.into!r}: {step.op} reads {' and '.join(given)}, expected one kind")
        return MONTHLY
    return given[0] if operation.gives == SAME else NUMBER


def _arguments(operation: Operation, params: Sequence[float]) -> list[float | tuple[float, ...]]:
    """Parameters as a reference takes them: those under a starred name as one tuple. The star stands first."""
    if not operation.params or not operation.params[0].startswith("*"):
        return list(params)
    fixed = len(operation.params) - 1
    return [tuple(params[: len(params) - fixed]), *params[len(params) - fixed :]]


def _check_params(step: Step, operation: Operation, months: int, categories: Mapping[str, int]) -> None:
    """What the kernels rely on. Raises ContractError."""
    named = dict(zip(operation.params, _arguments(operation, step.params), strict=True))
    count = categories.get(step.inputs[0], 0)
    if not np.isfinite(step.params).all():
        raise ContractError(f"step {step.into!r}: {step.op}: a parameter is no finite number")
    for name, value in named.items():
        wrong = ""
        if isinstance(value, tuple):
            if name == "*edges" and list(value) != sorted(value):
                wrong = "ascending edges"
            elif name == "*ranks" and len(value) != count + 1:
                wrong = f"{count + 1} ranks: one a category, and one for unknown ones"
            elif name == "*values" and len(value) != count:
                wrong = f"{count} values: one a category"
        elif name == "months" and not (value == int(value) and 1 <= value <= months):
            wrong = f"a whole number from 1 to {months}"
        elif name == "buckets" and not (value == int(value) and 1 <= value <= 2**31):
            wrong = "a whole number from 1 to 2**31"
        elif name == "seed" and not (value == int(value) and 0 <= value <= 2**53):
            wrong = "a whole number from 0 to 2**53"
        elif name == "decay" and not 0 < value <= 1:
            wrong = "more than 0, at most 1"
        if wrong:
            raise ContractError(f"step {step.into!r}: {step.op}: {name.strip('*')}: got {value}, expected {wrong}")
    if step.op == "clip" and step.params[0] > step.params[1]:
        raise ContractError(f"step {step.into!r}: clip: low {step.params[0]} is above high {step.params[1]}")
    if step.op == "yearly_change" and months < 13:
        raise ContractError(f"step {step.into!r}: yearly_change reads 13 months, the histories have {months}")


def _check_kinds(names: Sequence[str], kinds: Mapping[str, str], expected: tuple[str, ...], what: str) -> None:
    for name in names:
        if kinds[name] not in expected:
            raise ContractError(f"{what}: {name!r} is a {kinds[name]}, expected a {' or '.join(expected)}")
