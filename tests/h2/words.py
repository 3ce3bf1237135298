"""A served version as the words that writers of answers are given."""

from typing import Any

import numpy as np

from serving.contract import ClassOutput, ProbabilityOutput, ScalarOutput
from serving.listeners.h2 import model_kernels as of
from serving.pipeline import WarningCode
from serving.protocols.answers import answer_specs
from serving.repository.served import ServedModel

STATES = (WarningCode.MISSING, WarningCode.UNKNOWN_CATEGORY, WarningCode.OUT_OF_TRAINING_RANGE, WarningCode.STALE)
_KINDS = {"margin": of.MARGIN, "coverage": of.COVERAGE, "warnings": of.WARNINGS}


class ModelWords:
    """words: int64[MODEL], good as long as this lives. places: where each of the graph's outputs stands in a row."""

    def __init__(self, served: ServedModel) -> None:
        self._kept: list[np.ndarray[Any, Any]] = []
        self.words = words = np.zeros(of.MODEL, np.int64)
        contract = served.contract
        self.places: dict[str, tuple[int, int]] = {}
        for name, (_, shape) in contract.graph_outputs().items():
            self.places[name] = (self.width, int(np.prod(shape)))
        words[of.NAME], words[of.NAME_SIZE] = self._text(served.name)
        words[of.VERSION] = served.version
        words[of.VERSION_TEXT], words[of.VERSION_TEXT_SIZE] = self._text(str(served.version))
        words[of.INPUTS] = len(contract.inputs)
        words[of.LEAST_COVERAGE] = np.array([contract.min_coverage]).view(np.int64)[0]
        self._outputs(served)
        self._warnings(served)
        words[of.PARTS] = self._address(np.array([self._part(output) for output in contract.outputs], np.int64))
        words[of.PART_COUNT] = len(contract.outputs)

    @property
    def width(self) -> int:
        """Values of a row."""
        return sum(width for _, width in self.places.values())

    def rows(self, tensors: Any, n: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """int32[n, W] of the graph's outputs."""
        rows = np.zeros((n, self.width), np.int32)
        for name, (start, width) in self.places.items():
            rows[:, start : start + width] = np.ascontiguousarray(tensors[name]).view(np.int32).reshape(n, width)
        return rows

    def _outputs(self, served: ServedModel) -> None:
        table, specs, shapes = [], answer_specs(served.contract), served.contract.graph_outputs()
        for spec in specs:
            kind, place, columns = _KINDS.get(spec.name, of.CLASS_NAME), 0, 0
            if spec.name in shapes:
                kind = of.FLOATS if spec.kind == "float32" else of.INTS
                place, columns = self.places[spec.name][0], spec.shape[0] if spec.shape else 0
            elif kind == of.CLASS_NAME:
                place = self.places[served.decision.label][0]
            table.append([*self._text(spec.name), kind, place, columns, 0, 0, 0])
        names = [spec.name for spec in specs]
        # protobuf's order of a map: of two names of which one begins with the other, the longer comes first
        by_name = sorted(range(len(names)), key=lambda number: names[number].encode() + b"\xff")
        self.words[of.OUTPUTS], self.words[of.OUTPUT_COUNT] = self._address(np.array(table, np.int64)), len(table)
        self.words[of.SORTED] = self._address(np.array(by_name, np.int64))
        if served.class_names:
            classes = [self._text(name.decode()) for name in served.class_names]
            self.words[of.CLASS_NAMES] = self._address(np.array(classes, np.int64))
            self.words[of.CLASS_COUNT] = len(classes)

    def _warnings(self, served: ServedModel) -> None:
        names = [raw.name for raw in served.contract.inputs]
        texts = [WarningCode.LOW_COVERAGE.value, *(f"{state}:{name}" for name in names for state in STATES)]
        self.words[of.WARNED] = self._address(np.array([self._text(text) for text in texts], np.int64))
        self.words[of.COLUMN_NAMES] = self._address(np.array([self._text(name) for name in names], np.int64))

    def _part(self, output: Any) -> list[int]:
        kind, values, label, texts, threshold = of.PART_VECTOR, 1, -1, (), np.float32(0)
        tensor = getattr(output, "tensor", "")
        if isinstance(output, ClassOutput):
            kind, tensor, texts = of.PART_CLASSES, output.probabilities, output.classes
            label = self.places[output.label][0]
        elif isinstance(output, ProbabilityOutput):
            kind = of.PART_PROBABILITY
            if output.threshold is not None:
                label, threshold = self.places[output.label][0], np.float32(output.threshold)
        elif isinstance(output, ScalarOutput):
            kind = of.PART_SCALAR
        else:
            texts = output.names
        place, values = self.places[tensor]
        encoded = b"".join(bytes([1 << 3 | 2, len(text.encode())]) + text.encode() for text in texts)
        name, bits = self._text(output.name), int(threshold.view(np.int32))
        return [
            *name,
            kind,
            place,
            values,
            label,
            self._address(np.frombuffer(encoded, np.uint8)),
            len(encoded),
            bits,
        ] + [0] * (of.PART - 9)

    def _text(self, text: str) -> tuple[int, int]:
        encoded = text.encode()
        return self._address(np.frombuffer(encoded, np.uint8)), len(encoded)

    def _address(self, values: np.ndarray[Any, Any]) -> int:
        self._kept.append(values)
        return values.ctypes.data
