"""Bodies of a mixed load: three protocols, every committed model, raw columns and ready tensors, 1 and 64 rows.

Rows are drawn from the golden rows that stand beside each version, numbers moved by up to a thousandth, so that they
are as the model's own data are, histories and windows among them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.bodies import PROTOCOLS
from loadtest.measure import MeasurementError
from loadtest.published import newest_version
from loadtest.rates.recorded import Recording
from serving.contract import Contract, HistoryInput, NumberInput
from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve
from serving.stubs.foreign import tensorflow_pb2 as tensorflow
from serving.stubs.foreign import tensorflow_serving_pb2 as serving

Cells = NDArray[Any]
"""float64 of raw numbers [n] and histories [n, T], float32 of ready tensors, or text [n]."""
MODELS = ("performance_model", "attrition_model")
ROWS = (1, 64)
_MOVED = 1e-3
_PREFIX = 5
_STEP = 32
"""Of the two bytes: in a float64 the lower five bits are below what float32 keeps."""


def tf_serving(model: str, cells: Mapping[str, Cells]) -> bytes:
    """`tensorflow.serving.PredictRequest`."""
    request = serving.PredictRequest()
    request.model_spec.name = model
    for name, values in cells.items():
        tensor = request.inputs[name]
        for size in values.shape:
            tensor.tensor_shape.dim.add(size=size)
        if values.dtype.kind == "U":
            tensor.dtype = tensorflow.DT_STRING
            tensor.string_val.extend(value.encode() for value in values.tolist())
        else:
            tensor.dtype = tensorflow.DT_FLOAT
            tensor.tensor_content = values.astype("<f4").tobytes()
    return request.SerializeToString(deterministic=True)


def kserve_v2(model: str, cells: Mapping[str, Cells]) -> bytes:
    """`inference.ModelInferRequest` with raw_input_contents."""
    request = kserve.ModelInferRequest(model_name=model)
    for name, values in cells.items():
        kind = {"U": "BYTES", "f": f"FP{8 * values.dtype.itemsize}"}[values.dtype.kind]
        request.inputs.add(name=name, datatype=kind, shape=values.shape)
        if kind == "BYTES":
            texts = [text.encode() for text in values.tolist()]
            request.raw_input_contents.append(b"".join(len(text).to_bytes(4, "little") + text for text in texts))
        else:
            request.raw_input_contents.append(values.tobytes())
    return request.SerializeToString(deterministic=True)


def epm_v1(model: str, cells: Mapping[str, Cells]) -> bytes:
    """`epm.v1.PredictRequest`: float32 cells as tensors, others as columns."""
    request = epm.PredictRequest()
    request.model.name = model
    for name, values in cells.items():
        if values.dtype == np.float32:
            request.tensors.add(name=name, shape=values.shape, values=values.ravel().tolist())
            continue
        column = request.columns.add(name=name)
        if values.dtype.kind == "U":
            column.strings.values.extend(values.tolist())
        elif values.ndim == 2:
            column.history.months = values.shape[1]
            column.history.values.extend(values.ravel().tolist())
        else:
            column.doubles.values.extend(values.tolist())
    return request.SerializeToString(deterministic=True)


ENCODERS: Mapping[str, Callable[[str, Mapping[str, Cells]], bytes]] = {
    "tensorflow_serving": tf_serving,
    "kserve_v2": kserve_v2,
    "epm_v1": epm_v1,
}
PATHS = {protocol.name: protocol.path for protocol in PROTOCOLS}


@dataclass(frozen=True)
class Mix:
    """The bodies, and where in each two bytes may be replaced so that its first row is another one; -1 for nowhere."""

    recording: Recording
    places: list[int]

    def vary(self, first_turn: int) -> Callable[[int, bytes], bytes]:
        """For `Load.vary`: every second time a body is sent, its first row is one that was never sent before.

        first_turn: 0 to 2047, of the first time that the bodies are sent; after 2,048 turns the same rows come again.
        """
        places, step = self.places, _STEP

        def varied(number: int, message: bytes) -> bytes:
            turn, body = divmod(number, len(places))
            at = places[body]
            if at < 0 or (turn + body) % 2:
                return message
            at += _PREFIX
            return message[:at] + ((first_turn + turn) * step % 65536).to_bytes(2, "little") + message[at + 2 :]

        return varied

    @property
    def new_share(self) -> float:
        """The share of calls that have a row never sent before."""
        return sum(place >= 0 for place in self.places) / len(self.places) / 2


class Turns:
    """Turns `first` to before `end` of `Mix.vary`, each handed out once: what is sent first has never-sent rows."""

    def __init__(self, mix: Mix, first: int, end: int) -> None:
        self._mix, self._next, self._end = mix, first, end

    def fresh(self, calls: float) -> Callable[[int, bytes], bytes]:
        """For a load of `calls` on average, as a Poisson process too. Raises MeasurementError when none are left."""
        first = self._next
        self._next += 2 + int(1.2 * calls / len(self._mix.places))
        if self._next > self._end:
            raise MeasurementError(f"{calls:.0f} calls more need turns {first} to {self._next}, there are {self._end}")
        return self._mix.vary(first)


def make(model_repo: Path, of_each: int, seed: int) -> Mix:
    """`of_each` bodies of each protocol, model, form and size, in random order. Raises MeasurementError, OSError."""
    random = np.random.default_rng(seed)
    methods: list[str] = []
    bodies: list[bytes] = []
    places: list[int] = []
    for model in MODELS:
        version = newest_version(model_repo / model)
        contract = Contract.load(version / "contract.json")
        with np.load(version / "golden.npz", allow_pickle=False) as golden:
            forms = raw_columns(contract, golden), ready_tensors(contract, golden)
        numbers = [raw for raw in contract.inputs if isinstance(raw, NumberInput | HistoryInput)]
        lowest = {raw.name: raw.low for raw in numbers if raw.low is not None}
        highest = {raw.name: raw.high for raw in numbers if raw.high is not None}
        for form, rows, name, _ in product(forms, ROWS, ENCODERS, range(of_each)):
            cells = drawn(form, lowest, rows, random)
            bodies.append(ENCODERS[name](model, cells))
            methods.append(PATHS[name])
            places.append(place_of_a_number(bodies[-1], cells, lowest, highest))
    order = random.permutation(len(bodies))
    recording = Recording("mix", 0, [methods[i] for i in order], [bodies[i] for i in order])
    return Mix(recording, [places[i] for i in order])


def place_of_a_number(
    body: bytes, cells: Mapping[str, Cells], lowest: Mapping[str, float], highest: Mapping[str, float]
) -> int:
    """Where two bytes of a number of the first row stand that can be anything; -1 when there is none.

    They are bits of its mantissa that float32 keeps too, and change it by less than a hundredth.
    """
    for name, values in cells.items():
        if values.dtype.kind != "f":
            continue
        number = float(values[0].ravel()[-1])
        if not lowest.get(name, 0.0) < number * 0.99 or not number * 1.01 < highest.get(name, np.inf):
            continue
        for kind, inside in (("<f8", 3), ("<f4", 0)):
            pattern = np.array(number, kind).tobytes()
            if body.count(pattern) == 1:
                return body.index(pattern) + inside
    return -1


def raw_columns(contract: Contract, golden: Mapping[str, Cells]) -> dict[str, Cells]:
    """The raw golden rows by column."""
    return {raw.name: golden[f"raw.{raw.name}"] for raw in contract.inputs}


def ready_tensors(contract: Contract, golden: Mapping[str, Cells]) -> dict[str, Cells]:
    """The golden features, and windows where the model has one, by tensor."""
    return {tensor.name: golden["window" if len(tensor.shape) == 2 else "features"] for tensor in contract.tensors}


def drawn(
    cells: Mapping[str, Cells], lowest: Mapping[str, float], rows: int, random: np.random.Generator
) -> dict[str, Cells]:
    """`rows` of the rows, numbers made smaller by up to a thousandth, but not below `lowest` of their column."""
    chosen = random.integers(len(next(iter(cells.values()))), size=rows)
    made: dict[str, Cells] = {}
    for name, values in cells.items():
        some = values[chosen]
        if some.dtype.kind == "f":
            moved = some - np.abs(some) * _MOVED * random.random(some.shape)
            some = np.maximum(moved, lowest.get(name, -np.inf)).astype(some.dtype)
        made[name] = some
    return made
