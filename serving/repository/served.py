"""One version of a model, verified and ready to answer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Backend, InProcess, Tensors
from serving.contract import ClassOutput, Contract, ProbabilityOutput
from serving.errors import InvalidInput
from serving.features.program import CompiledProgram, Features
from serving.features.rows import Cells, MonthlyCells, RowSchema
from serving.store.reader import RecordReader


@dataclass(frozen=True, repr=False, eq=False)
class ServedModel:
    """Everything a prediction needs; immutable, replaced as a whole when a new version is swapped in.

    Equal to itself only: two artifacts under one version number are two.
    """

    name: str
    version: int
    digest: str
    """SHA-256 over the digests of all files: two artifacts under one version number differ here."""
    contract: Contract
    schema: RowSchema
    program: CompiledProgram
    reader: RecordReader
    backends: tuple[Backend, ...] = ()
    """What executes it, in the order in which they are asked."""
    shadow: Backend | None = None
    """What is asked for a sample of rows as well, and only compared."""
    cost: tuple[float, float] = (math.inf, math.inf)
    """Seconds of a call in this process, as measured when it was loaded: of every call, and of a row."""
    attached: WeakKeyDictionary[Any, Any] = field(default_factory=WeakKeyDictionary, init=False)
    """What others keep beside this version, by whose it is: gone with it, or with them."""
    graph_inputs: Mapping[str, tuple[int, ...]] = field(init=False)
    features_input: str | None = field(init=False)
    window_input: str | None = field(init=False)
    graph_outputs: tuple[str, ...] = field(init=False)
    """Names of the graph's outputs that answers are made of."""
    decision: ClassOutput | ProbabilityOutput | None = field(init=False)
    """The contract's: it is asked for in every call."""
    class_names: tuple[bytes, ...] = field(init=False)
    threshold: np.float32 | None = field(init=False)
    """From which probability on the model's label is 1, as the graph compares it; None where no threshold decides."""
    missing_allowed: Mapping[str, bool] = field(init=False)

    def __post_init__(self) -> None:
        shapes = {tensor.name: tensor.shape for tensor in self.contract.tensors}
        object.__setattr__(self, "graph_inputs", shapes)
        missing_allowed = {tensor.name: tensor.missing_allowed for tensor in self.contract.tensors}
        object.__setattr__(self, "missing_allowed", missing_allowed)
        program = self.contract.program
        by_shape = {shape: name for name, shape in shapes.items()}
        object.__setattr__(self, "features_input", by_shape.get((len(program.features),)))
        object.__setattr__(self, "window_input", by_shape.get((self.contract.months, len(program.window))))
        object.__setattr__(self, "graph_outputs", tuple(self.contract.graph_outputs()))
        decision = self.contract.decision
        object.__setattr__(self, "decision", decision)
        classes = decision.classes if isinstance(decision, ClassOutput) else ()
        object.__setattr__(self, "class_names", tuple(name.encode() for name in classes))
        threshold = decision.threshold if isinstance(decision, ProbabilityOutput) else None
        object.__setattr__(self, "threshold", None if threshold is None else np.float32(threshold))

    @property
    def backend(self) -> Backend:
        """The one that is asked first."""
        return self.backends[0]

    def run(self, tensors: Tensors) -> Tensors:
        """What the first backend in this process makes of n rows: float32[n, ...] by name -> [n, ...] by name."""
        return next(backend for backend in self.backends if isinstance(backend, InProcess)).run(tensors)

    def seconds(self, rows: int) -> float:
        """About how long so many rows take in this process."""
        return self.cost[0] + self.cost[1] * rows

    def margin(self, tensors: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
        """How clear each decision is, float32[n], from the graph's outputs; None for a model that decides nothing.

        Of classes: how far the best is ahead of the second. Of a probability: how far it is from its threshold.
        """
        from serving import kernels

        if isinstance(self.decision, ClassOutput):
            probabilities = tensors[self.decision.probabilities]
            margin = np.empty(probabilities.shape[0], np.float32)
            kernels.top_margins(probabilities, margin)
            return margin
        if self.decision is None or self.threshold is None:
            return None
        return np.abs(tensors[self.decision.tensor] - self.threshold)

    def graph_tensors(self, made: Features) -> dict[str, NDArray[np.float32]]:
        """What the program made, as the graph's own inputs."""
        tensors = {}
        if self.features_input is not None:
            tensors[self.features_input] = made.features
        if self.window_input is not None:
            tensors[self.window_input] = made.window
        return tensors

    def takes_ready(self, names: Mapping[str, object]) -> bool:
        """Whether a call sent the graph's own tensors. Raises InvalidInput when they are mixed with columns."""
        ready = [name for name in names if name in self.graph_inputs]
        if ready and len(ready) < len(names):
            other = next(name for name in names if name not in self.graph_inputs)
            raise InvalidInput.cell(other, f"a raw column beside the ready tensor {ready[0]}", "one kind, not both")
        return bool(ready)

    def check_ready(self, inputs: Mapping[str, Cells | MonthlyCells], max_rows: int) -> dict[str, NDArray[np.float32]]:
        """The graph's own inputs as float32. Raises InvalidInput when a shape or value cannot be."""
        tensors = {}
        rows = None
        for name, shape in self.graph_inputs.items():
            if name not in inputs:
                raise InvalidInput.cell(name, "no such tensor", f"all of {', '.join(self.graph_inputs)}")
            if isinstance(inputs[name], list | MonthlyCells):
                raise InvalidInput.cell(name, "no tensor of numbers", "numbers")
            tensor = np.ascontiguousarray(inputs[name], np.float32)
            n = tensor.shape[0] if tensor.ndim else 0
            expected = f"[n, {', '.join(map(str, shape))}] with 1 to {max_rows} rows, the same in every tensor"
            if tensor.shape[1:] != shape or not 1 <= n <= max_rows or (rows is not None and n != rows):
                raise InvalidInput.cell(name, f"shape {list(tensor.shape)}", expected)
            if np.isinf(tensor).any():
                raise InvalidInput.cell(name, "an infinite value", "finite values")
            if not self.missing_allowed[name] and np.isnan(tensor).any():
                raise InvalidInput.cell(
                    name, "NaN", "numbers: raw columns may be missing, this tensor has no way to say so"
                )
            tensors[name], rows = tensor, n
        return tensors
