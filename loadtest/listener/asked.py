"""What servers are asked in the study: bodies that differ, and the right answers to the first of them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from loadtest.answers import probabilities
from loadtest.bench.load import Work
from loadtest.bench.peer import Rows, Wire, predictions
from loadtest.bench.rows import Sample, draw
from loadtest.bench.wires import EMPTY, TENSOR
from loadtest.bodies import PROTOCOLS, Protocol
from loadtest.published import newest_version
from loadtest.rates import mix
from serving.contract import Contract, NumberInput

BODIES = 1000
STREAM_PREDICT = "/epm.v1.PredictionService/StreamPredict"
LSTM = "attrition_model"


def _wire(protocol: Protocol) -> Wire:
    def encode(model: str, rows: Rows) -> bytes:
        return protocol.encode(model, rows.columns)

    def decode(answer: bytes, rows: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return probabilities(protocol.name, answer, rows)

    return Wire(protocol.name, "grpc", protocol.path, encode, predictions(decode))


COLUMNS = {protocol.name: _wire(protocol) for protocol in PROTOCOLS}
"""Raw columns by name, in each protocol."""
STREAM = replace(COLUMNS["epm_v1"], name="epm_v1_stream", path=STREAM_PREDICT)


@dataclass(frozen=True)
class Samples:
    """Calls of one model by how many rows they have."""

    model: str
    one: Sample
    many: Sample

    def ask(self, what: str) -> Work:
        """By the names that the page uses."""
        wire, sample = _ASKED[what]
        return (self.one if sample == 1 else self.many).work(wire)


MANY = 64
_ASKED = {
    "kserve_v2": (COLUMNS["kserve_v2"], 1),
    "tensorflow_serving": (COLUMNS["tensorflow_serving"], 1),
    "epm_v1": (COLUMNS["epm_v1"], 1),
    "kserve_v2 64": (COLUMNS["kserve_v2"], MANY),
    "epm_v1 64": (COLUMNS["epm_v1"], MANY),
    "stream 64": (STREAM, MANY),
    "stream 1": (STREAM, 1),
    "tensor": (TENSOR, 1),
    "empty": (EMPTY, 1),
}


def samples(repository: Path, model: str, bodies: int = BODIES) -> Samples:
    """Of the newest version."""
    return Samples(model, draw(repository, model, 1, bodies=bodies), draw(repository, model, MANY, bodies=bodies))


def lstm_bodies(repository: Path, seed: int, count: int = BODIES) -> list[bytes]:
    """One-row ModelInfer of raw columns with histories, from golden rows, numbers moved a little."""
    version = newest_version(repository / LSTM)
    contract = Contract.load(version / "contract.json")
    random = np.random.default_rng(seed)
    with np.load(version / "golden.npz", allow_pickle=False) as golden:
        cells = mix.raw_columns(contract, golden)
    numbers = [raw for raw in contract.inputs if isinstance(raw, NumberInput)]
    lowest = {raw.name: raw.low for raw in numbers if raw.low is not None}
    made: dict[bytes, None] = {}
    while len(made) < count:  # a row of nothing but zeros cannot be moved
        made[mix.kserve_v2(LSTM, mix.drawn(cells, lowest, 1, random))] = None
    return list(made)
