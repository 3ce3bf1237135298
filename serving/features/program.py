"""A contract's feature program as flat arrays, executed by one compiled kernel (or, to check it, by NumPy)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.contract import Contract
from serving.errors import ContractError
from serving.features.operations import OPERATIONS

PROGRAM_VERSION = 1
_MOST_INPUTS = max(operation.inputs for operation in OPERATIONS.values())
_MOST_PARAMS = max(len(operation.params) for operation in OPERATIONS.values())


@dataclass(frozen=True)
class CompiledProgram:
    """Flat arrays as `kernels.run_program` takes them."""

    codes: NDArray[np.int64]
    sources: NDArray[np.int64]
    params: NDArray[np.float64]
    features: NDArray[np.int64]
    names: tuple[str, ...]

    def run(self, raw: NDArray[np.float64]) -> NDArray[np.float32]:
        """raw: float64[n, columns], NaN is missing, categories as codes -> features: float32[n, F]."""
        from serving.features import kernels

        out = np.empty((raw.shape[0], self.features.shape[0]), np.float32)
        kernels.run_program(raw, self.codes, self.sources, self.params, self.features, out)
        return out


def compile_program(contract: Contract) -> CompiledProgram:
    """Flatten the program of `contract`. Raises ContractError when it uses what this gateway does not know."""
    program = contract.program
    if program.version != PROGRAM_VERSION:
        raise ContractError(f"feature program version {program.version}, this gateway runs version {PROGRAM_VERSION}")
    numbers = {raw.name: number for number, raw in enumerate(contract.inputs)}
    steps = len(program.steps)
    codes = np.zeros(steps, np.int64)
    sources = np.zeros((steps, _MOST_INPUTS), np.int64)
    params = np.zeros((steps, _MOST_PARAMS))
    for s, step in enumerate(program.steps):
        operation = OPERATIONS.get(step.op)
        if operation is None:
            raise ContractError(f"step {step.into!r}: unknown operation {step.op!r}, known are {', '.join(OPERATIONS)}")
        if len(step.inputs) != operation.inputs or len(step.params) != len(operation.params):
            raise ContractError(
                f"step {step.into!r}: {step.op} takes {operation.inputs} inputs and {len(operation.params)} parameters "
                f"({', '.join(operation.params)}), got {len(step.inputs)} and {len(step.params)}"
            )
        codes[s] = operation.code
        sources[s, : len(step.inputs)] = [numbers[name] for name in step.inputs]
        params[s, : len(step.params)] = step.params
        numbers[step.into] = len(contract.inputs) + s
    features = np.array([numbers[name] for name in program.features], np.int64)
    return CompiledProgram(codes, sources, params, features, program.features)


def run_reference(contract: Contract, raw: NDArray[np.float64]) -> NDArray[np.float32]:
    """The same as `CompiledProgram.run`, in plain NumPy: what the kernel is held to."""
    values = {column.name: raw[:, number] for number, column in enumerate(contract.inputs)}
    for step in contract.program.steps:
        values[step.into] = OPERATIONS[step.op].reference(*(values[name] for name in step.inputs), *step.params)
    return np.stack([values[name] for name in contract.program.features], axis=1).astype(np.float32)
