"""What a version promises is held to its graph; a repository that is away takes nothing from what is served."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from serving.contract import ClassOutput, Contract, GraphInput, VectorOutput
from serving.errors import NotFound, NotReady
from serving.repository.repository import Repository
from serving.repository.versions import load_version
from tests.support import attrition
from tests.support.models import NUMBERS, text, write_digests, write_version

pytestmark = pytest.mark.unit


def scanned(root: Path) -> Repository:
    repository = Repository(root)
    repository.scan()
    return repository


def refusal(root: Path, model: str) -> str:
    """Why its version 1 is not served."""
    return scanned(root).models[model].refused[1].reason


def promise(folder: Path, outputs: tuple) -> None:
    """Let the contract of a version promise other outputs than its graph has."""
    contract = Contract.load(folder / "contract.json")
    (folder / "contract.json").write_bytes(msgspec.structs.replace(contract, outputs=outputs).to_json())
    write_digests(folder)


@pytest.mark.parametrize("classes", [("A", "B"), ("A", "B", "C", "D")])
def test_other_classes_than_the_graph_has_are_refused(classes: tuple[str, ...], tmp_path: Path) -> None:
    promise(write_version(tmp_path), (ClassOutput(name="grade", title=text("grade"), classes=classes),))
    reason = scanned(tmp_path).models["small"].refused[1].reason
    assert "output probabilities: got float32[64, 3] for 64 rows, contract.json says float32[64, " in reason


def test_a_vector_with_other_names_than_the_graph_has_numbers_is_refused(tmp_path: Path) -> None:
    vector = VectorOutput(name="weights", title=text("weights"), tensor="vector", names=("x", "y", "z"))
    promise(write_version(tmp_path, "numbers", outputs=NUMBERS), (*NUMBERS[:2], vector, NUMBERS[3]))
    assert "output vector" in scanned(tmp_path).models["numbers"].refused[1].reason


def answer_otherwise(folder: Path, **outputs: np.ndarray) -> None:
    """Let the golden rows of a version have other outputs."""
    with np.load(folder / "golden.npz") as golden:
        arrays = {**golden, **{f"output.{name}": values for name, values in outputs.items()}}
    np.savez(folder / "golden.npz", **arrays)
    write_digests(folder)


@pytest.mark.parametrize(("away", "served"), [(0.0, True), (5e-6, True), (1e-4, False), (-1e-4, False)])
def test_a_label_by_threshold_may_differ_only_where_the_probability_is_that_close(
    away: float, served: bool, tmp_path: Path
) -> None:
    """away: how far the probability of the row whose label differs is above the threshold."""
    with np.load(attrition.write_version(tmp_path / "first") / "golden.npz") as golden:
        probabilities = golden["output.probability_6m"]
    row = int(np.abs(probabilities - attrition.THRESHOLD).argmin())
    folder = attrition.write_version(tmp_path / "models", float(probabilities[row]) - away)
    with np.load(folder / "golden.npz") as golden:
        label = golden["output.label"]
    label[row] = 1 - label[row]
    answer_otherwise(folder, label=label)
    state = scanned(tmp_path / "models").models["attrition"]
    if served:
        assert not state.refused
    else:
        reason = state.refused[1].reason
        assert (
            reason == f"onnxruntime: golden rows: output label is not the trained model's in 1 places, first row {row}"
        )


def test_a_label_of_classes_may_differ_only_where_the_two_best_are_that_close(tmp_path: Path) -> None:
    folder = write_version(tmp_path)
    with np.load(folder / "golden.npz") as golden:
        label, probabilities = golden["output.label"], golden["output.probabilities"]
    label[7] = (label[7] + 1) % 3
    answer_otherwise(folder, label=label)
    best = np.sort(probabilities[7])
    assert best[-1] - best[-2] > 1e-5
    assert "output label is not the trained model's in 1 places, first row 7" in refusal(tmp_path, "small")


def test_a_probability_that_the_golden_rows_say_otherwise_is_refused(tmp_path: Path) -> None:
    folder = attrition.write_version(tmp_path)
    with np.load(folder / "golden.npz") as golden:
        probabilities = golden["output.probability_3m"]
    probabilities[5] += np.float32(1e-4)
    answer_otherwise(folder, probability_3m=probabilities)
    assert "output probability_3m is not the trained model's in 1 places, first row 5" in refusal(tmp_path, "attrition")


def test_a_graph_that_decides_by_another_threshold_than_the_contract_says_is_refused(tmp_path: Path) -> None:
    promise(attrition.write_version(tmp_path), attrition.outputs(0.3))
    reason = refusal(tmp_path, "attrition")
    assert reason.startswith(
        "onnxruntime: golden rows: output label is not whether probability_6m is at or above the threshold 0.3 of "
    )


def test_a_threshold_counts_as_the_graph_compares_it(tmp_path: Path) -> None:
    """The contract has 64 bits, the graph 32: what is equal there has the label 1 and no margin."""
    with np.load(attrition.write_version(tmp_path / "first") / "golden.npz") as golden:
        probability = float(golden["output.probability_6m"][3])
    above = float(np.nextafter(probability, 1))
    assert above > probability
    served = load_version(attrition.write_version(tmp_path / "models", above))
    assert served.threshold == np.float32(probability)
    tensors = {"probability_6m": np.array([probability, 0, 1], np.float32)}
    margin = served.margin(tensors)
    assert margin.dtype == np.float32
    assert margin.tolist() == [0, np.float32(probability), np.float32(1) - np.float32(probability)]


def test_a_graph_that_takes_another_input_than_the_contract_says_is_refused(tmp_path: Path) -> None:
    folder = write_version(tmp_path)
    contract = Contract.load(folder / "contract.json")
    renamed = (GraphInput(name="matrix", shape=contract.tensors[0].shape),)
    (folder / "contract.json").write_bytes(msgspec.structs.replace(contract, tensors=renamed).to_json())
    write_digests(folder)
    assert "model.onnx: the graph takes {'features': (8,)}" in scanned(tmp_path).models["small"].refused[1].reason


def test_a_reason_tells_no_cell_of_a_golden_row(tmp_path: Path) -> None:
    folder = write_version(tmp_path)
    contract = Contract.load(folder / "contract.json")
    narrow = (msgspec.structs.replace(contract.inputs[0], high=1.0), *contract.inputs[1:])
    (folder / "contract.json").write_bytes(msgspec.structs.replace(contract, inputs=narrow).to_json())
    write_digests(folder)
    reason = scanned(tmp_path).models["small"].refused[1].reason
    assert reason == "golden rows: column hours: a value that contract.json does not allow"


def test_before_the_first_look_a_model_is_not_ready_and_after_it_not_found(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    with pytest.raises(NotReady):
        repository.resolve("small")
    repository.scan()
    with pytest.raises(NotFound):
        repository.resolve("small")


def test_a_repository_that_is_away_for_a_while_takes_no_model_with_it(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    write_version(root)
    repository = scanned(root)
    served = repository.resolve("small")
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="No such file"):
        repository.scan()
    assert repository.resolve("small") is served
    (tmp_path / "elsewhere").rename(root)
    repository.scan()
    assert repository.resolve("small") is served, "nothing was loaded again"
