"""What a model version promises: raw inputs, feature program, graph inputs, typed outputs, provenance.

The exporter writes `contract.json` when the model is trained, the gateway does what stands in it: that is why training
and serving cannot drift apart. Values here are plain data; what the operations of a program do stands in
`serving.features`.
"""

import re
from pathlib import Path
from typing import Literal

import msgspec

from serving.errors import ContractError

FORMAT = 1
MOST_MONTHS = 36
"""The longest history that is stored, sent or read."""
ENTITY_TYPE = r"[a-z][a-z0-9_]{0,31}"
HISTORIES, LENGTHS, MASK = "histories", "lengths", "mask"
"""Reserved where a model reads histories: two tensors that callers send, and the value that tells which months are."""
ADDED = ("margin", "coverage", "warnings")
"""Outputs that the gateway adds to those of the graph."""


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything in a contract: immutable, and an unknown or missing field is an error."""


class Text(_Value, frozen=True):
    """A text for people, in both languages."""

    en: str
    zh: str


class _Raw(_Value, frozen=True, kw_only=True):
    """What all raw inputs have."""

    required: bool = False
    """Whether a missing value (of a history: not a single month) is an error. Otherwise it lowers the coverage."""
    weight: float = 1.0
    """Share in the coverage, from the model's importances; relative to the sum over all inputs. A row gets of a
    history's the share of its months that are given."""
    max_age_days: float | None = None
    """A stored fact whose `as_of` is older is stale."""
    stale: Literal["warning", "error"] = "warning"
    """What a stale fact gives: an answer with a warning, or an error of its row."""


class NumberInput(_Raw, frozen=True, tag_field="type", tag="number"):
    """A raw numeric column."""

    name: str
    title: Text
    unit: str
    low: float | None = None
    """Physical bounds, inclusive: a value outside is an error of the caller."""
    high: float | None = None
    seen: tuple[float, float] | None = None
    """Smallest and largest value in the training rows: outside is answered, with a warning."""


class CategoryInput(_Raw, frozen=True, tag_field="type", tag="category"):
    """A raw column of names. Its code is its place in `categories`; `len(categories)` stands for any unknown name."""

    name: str
    title: Text
    categories: tuple[str, ...]


class TextInput(_Raw, frozen=True, tag_field="type", tag="text"):
    """A raw column of names without a list of them: only operations that hash read it."""

    name: str
    title: Text


class DateInput(_Raw, frozen=True, tag_field="type", tag="date"):
    """A raw column of days: texts as in 2026-03-31 (ISO 8601), or days since 1970-01-01."""

    name: str
    title: Text
    low: float | None = None
    """Bounds in days since 1970-01-01, inclusive, as in a number."""
    high: float | None = None
    seen: tuple[float, float] | None = None


class HistoryInput(_Raw, frozen=True, tag_field="type", tag="history"):
    """A raw numeric column with one value a month, `Contract.months` of them, oldest first."""

    name: str
    title: Text
    unit: str
    low: float | None = None
    high: float | None = None
    seen: tuple[float, float] | None = None


RawInput = NumberInput | CategoryInput | TextInput | DateInput | HistoryInput


class Step(_Value, frozen=True):
    """One operation of a feature program: reads the values named `inputs`, writes the value named `into`."""

    op: str
    into: str
    inputs: tuple[str, ...]
    params: tuple[float, ...] = ()


class Program(_Value, frozen=True, kw_only=True):
    """A feature program: steps in order, then the values that become the feature matrix, in order."""

    version: int = 1
    steps: tuple[Step, ...]
    features: tuple[str, ...]
    window: tuple[str, ...] = ()
    """Monthly values that become the window of a sequence model, float32[n, months, len(window)]."""


class GraphInput(_Value, frozen=True):
    """An input tensor of the exported graph: float32[n, *shape]."""

    name: str
    shape: tuple[int, ...]
    missing_allowed: bool = False
    """Whether the graph was trained to read NaN as missing. Otherwise NaN in a ready tensor is an error."""


class ClassOutput(_Value, frozen=True, tag_field="type", tag="class"):
    """One of C classes with probabilities: tensors float32[n, C] and int32[n] of the graph."""

    name: str
    title: Text
    classes: tuple[str, ...]
    probabilities: str = "probabilities"
    label: str = "label"


class ProbabilityOutput(_Value, frozen=True, tag_field="type", tag="probability"):
    """The probability of one event: tensor float32[n] of the graph.

    With a threshold the graph decides, too: tensor int32[n] `label`, 1 where the probability is at or above it.
    """

    name: str
    title: Text
    tensor: str
    threshold: float | None = None
    label: str = ""


class ScalarOutput(_Value, frozen=True, tag_field="type", tag="scalar"):
    """One number: tensor float32[n] of the graph."""

    name: str
    title: Text
    tensor: str
    unit: str


class VectorOutput(_Value, frozen=True, tag_field="type", tag="vector"):
    """K named numbers: tensor float32[n, K] of the graph."""

    name: str
    title: Text
    tensor: str
    names: tuple[str, ...]


class RankingOutput(_Value, frozen=True, tag_field="type", tag="ranking"):
    """K items to be ordered by score, best first: tensor of scores float32[n, K] of the graph."""

    name: str
    title: Text
    tensor: str
    items: tuple[str, ...]


Output = ClassOutput | ProbabilityOutput | ScalarOutput | VectorOutput | RankingOutput


class LeftOut(_Value, frozen=True):
    """An attribute that was in the data and deliberately is no input."""

    name: str
    reason: str


class Provenance(_Value, frozen=True):
    """Where the model came from."""

    data: str
    """What the training rows were, in words."""
    data_sha256: str
    rows: int
    code: str
    """Version of this project that trained it."""
    algorithm: str
    seed: int
    synthetic: bool
    versions: dict[str, str]
    """Libraries that trained and exported it."""
    features_sha256: str = ""
    """SHA-256 of what it was trained on, who has the rows can check it: float32[rows, F], row-major, and after it the
    window float32[rows, months, W] of a model that reads one."""


class Contract(_Value, frozen=True):
    """The whole promise of one version of one model."""

    format: int
    model: str
    entity_type: str
    title: Text
    inputs: tuple[RawInput, ...]
    program: Program
    tensors: tuple[GraphInput, ...]
    outputs: tuple[Output, ...]
    min_coverage: float
    """Below this share of its inputs an answer is marked `low_coverage`."""
    left_out: tuple[LeftOut, ...]
    provenance: Provenance
    months: int = 0
    """How many months of each history the program reads; 0 without histories."""

    def __post_init__(self) -> None:
        names = [raw.name for raw in self.inputs]
        _check(self.format == FORMAT, f"format is {self.format}, this gateway reads format {FORMAT}")
        entity_type = re.fullmatch(ENTITY_TYPE, self.entity_type)
        _check(entity_type is not None, f"entity_type is {self.entity_type!r}, expected as in 'employee'")
        _check(len(set(names)) == len(names), "two inputs bear the same name")
        _check(not set(names) & {tensor.name for tensor in self.tensors}, "an input bears the name of a graph input")
        _check(len(self.inputs) > 0 and len(self.outputs) > 0, "inputs and outputs cannot be empty")
        _check(sum(raw.weight for raw in self.inputs) > 0, "the weights of the inputs sum to 0")
        _check(all(raw.weight >= 0 for raw in self.inputs), "an input has a negative weight")
        _check_outputs(self.outputs)
        histories = any(isinstance(raw, HistoryInput) for raw in self.inputs)
        known = set(names)
        if histories:
            _check(1 <= self.months <= MOST_MONTHS, f"histories of {self.months} months, expected 1 to {MOST_MONTHS}")
            taken = {HISTORIES, LENGTHS, MASK} & {*names, *(tensor.name for tensor in self.tensors)}
            _check(not taken, f"the name {min(taken, default='')!r} is reserved where there are histories")
            known.add(MASK)
        else:
            _check(self.months == 0, f"{self.months} months, but no input is a history")
        for step in self.program.steps:
            for name in step.inputs:
                _check(name in known, f"step {step.into!r} reads {name!r}, which nothing before it writes")
            _check(step.into not in known, f"{step.into!r} is written twice")
            known.add(step.into)
        for name in (*self.program.features, *self.program.window):
            _check(name in known, f"feature {name!r} is written by no step")
        made: list[tuple[int, ...]] = [(len(self.program.features),)] if self.program.features else []
        made += [(self.months, len(self.program.window))] if self.program.window else []
        _check(len(made) > 0, "the program has neither features nor a window")
        for shape in made:
            takers = sum(tensor.shape == shape for tensor in self.tensors)
            _check(takers == 1, f"{takers} graph inputs take float32[n, {', '.join(map(str, shape))}], expected 1")
        _check(len(self.tensors) == len(made), f"{len(self.tensors)} graph inputs, the program makes {len(made)}")

    @property
    def decision(self) -> ClassOutput | ProbabilityOutput | None:
        """The output that decides, so that answers have a label and a margin: of classes, or with a threshold."""
        return next(iter(_deciding(self.outputs)), None)

    def graph_outputs(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The graph's outputs that answers are made of: name -> type, shape without n."""
        found: dict[str, tuple[str, tuple[int, ...]]] = {}
        for output in self.outputs:
            if isinstance(output, ClassOutput):
                found[output.probabilities] = ("float32", (len(output.classes),))
                found[output.label] = ("int32", ())
            elif isinstance(output, VectorOutput):
                found[output.tensor] = ("float32", (len(output.names),))
            elif isinstance(output, RankingOutput):
                found[output.tensor] = ("float32", (len(output.items),))
            else:
                found[output.tensor] = ("float32", ())
                if isinstance(output, ProbabilityOutput) and output.label:
                    found[output.label] = ("int32", ())
        return found

    @classmethod
    def from_json(cls, data: bytes) -> "Contract":
        """Read a contract. Raises ContractError with the path of the first field that is wrong."""
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise ContractError(f"contract.json: {error}") from error

    @classmethod
    def load(cls, path: Path) -> "Contract":
        """Read `contract.json`. Raises ContractError, also when there is no such file."""
        try:
            return cls.from_json(path.read_bytes())
        except OSError as error:
            raise ContractError(f"contract.json: {error.strerror}") from error

    def to_json(self) -> bytes:
        """The same contract always gives the same bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def _deciding(outputs: tuple[Output, ...]) -> list[ClassOutput | ProbabilityOutput]:
    """Outputs with a label."""
    return [output for output in outputs if isinstance(output, ClassOutput | ProbabilityOutput) and output.label]


def _check_outputs(outputs: tuple[Output, ...]) -> None:
    """Raises ValueError unless answers can tell all outputs apart, and one of them at most decides."""
    names, answered = [output.name for output in outputs], list(ADDED)
    _check(len(set(names)) == len(names), "two outputs bear the same name")
    for output in outputs:
        if isinstance(output, ClassOutput):
            _check(len(output.classes) > 1, "an output of classes has at least two of them")
            _check(output.label != "", f"output {output.name!r}: classes have a label")
            answered += [output.probabilities, output.label, output.name]
            continue
        answered.append(output.tensor)
        if isinstance(output, ProbabilityOutput):
            both = (output.threshold is None) == (output.label == "")
            _check(both, f"output {output.name!r}: a threshold and a label belong together")
            _check(output.threshold is None or 0 < output.threshold < 1, "a threshold lies between 0 and 1")
            answered += [output.label] if output.label else []
    _check(len(_deciding(outputs)) <= 1, "a model has at most one label")
    twice = {name for name in answered if answered.count(name) > 1}
    _check(not twice, f"{min(twice, default='')!r} would stand twice in an answer")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)  # msgspec adds the path and raises ValidationError
