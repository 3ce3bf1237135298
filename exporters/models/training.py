"""The way of a model: rows -> features -> two forests -> the better one -> exports -> the gate -> a version's files."""

import hashlib
import platform
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.data.dataset import Dataset, split
from exporters.data.table import Table
from exporters.formats import golden, onnx_graph, parity, saved_model
from exporters.formats.perturb import perturbed
from exporters.fresh_process import FreshProcess
from exporters.models import baselines, program
from exporters.models.algorithms import ALGORITHMS, Trained, train
from exporters.progress import say
from exporters.quality import measures
from exporters.quality.measures import Score
from serving.contract import Contract, Provenance
from serving.features.program import compile_program, run_reference
from serving.version import __version__

HELD_OUT = 0.25
COMMONEST = "always the commonest class"
_LIBRARIES = ("numpy", "numba", "xgboost-cpu", "scikit-learn", "onnx", "onnxruntime", "tensorflow")


@dataclass(frozen=True)
class Made:
    """A trained model with its contract, and what it did on rows that it has not seen."""

    contract: Contract
    trained: Trained
    held_out: Table
    predicted: NDArray[np.int64]
    """int64[n]: its labels for the held-out rows."""
    scores: dict[str, Score]
    """Of the model, the other algorithm and the baselines, on the held-out rows."""


def make(model: str, dataset: Dataset, seed: int, trees: int = 0) -> Made:
    """Train both algorithms on three quarters of the groups, keep the one with the better macro-F1 on the rest.

    trees: size of the forests, 0 for the published one. Raises DataError when the table cannot be learnt from.
    """
    training, held_out = (dataset.table.rows(mask) for mask in split(dataset.table, HELD_OUT, seed))
    say(f"{len(training)} training rows, {len(held_out)} held-out rows of other {dataset.entity_type}s")
    contract = program.draft(model, dataset, training, _provenance(dataset, len(training), seed))
    X, X_held_out = (program.feature_matrix(contract, table.columns) for table in (training, held_out))
    candidates: list[tuple[Score, Trained, NDArray[np.int64]]] = []
    scores = {}
    for algorithm in ALGORITHMS:
        trained = train(algorithm, X, training.target, seed, trees)
        predicted = trained.probabilities(X_held_out).argmax(axis=1)
        scores[algorithm.name] = _score(held_out, predicted)
        candidates.append((scores[algorithm.name], trained, predicted))
        say(f"{algorithm.name}: held-out macro-F1 {scores[algorithm.name].macro_f1:.3f}")
    _, trained, predicted = max(candidates, key=lambda candidate: candidate[0].macro_f1)
    linear = baselines.logistic_regression().fit(X, training.target)
    scores["logistic regression"] = _score(held_out, linear.predict(X_held_out))
    scores[COMMONEST] = _score(held_out, baselines.majority(training.target, len(held_out)))
    contract = program.weighed(contract, trained.importances())
    provenance = msgspec.structs.replace(
        contract.provenance, algorithm=trained.algorithm.name, features_sha256=hashlib.sha256(X.tobytes()).hexdigest()
    )
    return Made(msgspec.structs.replace(contract, provenance=provenance), trained, held_out, predicted, scores)


@dataclass(frozen=True)
class Exported:
    """Exports that passed the gate. files: path relative to the version -> bytes."""

    files: dict[str, bytes]
    agreements: list[parity.Agreement]


def export(made: Made, seed: int, rows: int = parity.ROWS) -> Exported:
    """Write ONNX, SavedModel, contract and golden rows. Raises ParityError when an export answers otherwise.

    rows: how many perturbed held-out rows all of them have to agree on.
    """
    contract, names = made.contract, made.contract.program.features
    columns = perturbed(contract, made.held_out.columns, rows, seed)
    raw = program.raw_rows(contract, columns)
    X = compile_program(contract).run(raw).features
    parity.check_features(X, run_reference(contract, raw).features, names)
    expected = parity.trained_answers(made.trained.probabilities(X))
    forest = made.trained.forest()
    graph = onnx_graph.write(forest, contract.model)
    agreements = parity.check_answers(expected, [parity.onnx_answers(graph, X)], X, names)
    say(f"ONNX, {len(graph) // 1024} KiB: {_agreement(agreements[0])}; SavedModel by a process of its own")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "saved_model"
        with FreshProcess() as process:
            by_tensorflow = process.call(saved_model.write_and_answer, forest, names, folder, X)
        saved = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    agreements += parity.check_answers(expected, by_tensorflow, X, names)
    for agreement in agreements[1:]:
        say(f"{agreement.name}: {_agreement(agreement)}")
    first = slice(0, golden.ROWS)
    outputs = {"probabilities": expected.probabilities[first], "label": expected.label[first]}
    files = {
        "model.onnx": graph,
        **saved,
        "contract.json": contract.to_json(),
        "golden.npz": golden.to_bytes(
            golden.arrays({name: cells[first] for name, cells in columns.items()}, X[first], outputs)
        ),
    }
    return Exported(files, agreements)


def _agreement(agreement: parity.Agreement) -> str:
    return f"{agreement.rows} rows agree, largest difference {agreement.difference:.1e}"


def _score(table: Table, predicted: NDArray[np.int64]) -> Score:
    return measures.score(measures.confusion(table.target, predicted, len(table.classes)))


def _provenance(dataset: Dataset, rows: int, seed: int) -> Provenance:
    return Provenance(
        data=dataset.description,
        data_sha256=dataset.sha256,
        rows=rows,
        code=__version__,
        algorithm="",
        seed=seed,
        synthetic=dataset.synthetic,
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in _LIBRARIES}},
    )
