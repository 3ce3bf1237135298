"""What a version promises is held to its graph; a repository that is away takes nothing from what is served."""

from pathlib import Path

import msgspec
import pytest

from serving.contract import ClassOutput, Contract, GraphInput, VectorOutput
from serving.errors import NotFound, NotReady
from serving.repository.repository import Repository
from tests.support.models import NUMBERS, text, write_digests, write_version

pytestmark = pytest.mark.unit


def scanned(root: Path) -> Repository:
    repository = Repository(root, threads=1)
    repository.scan()
    return repository


def promise(folder: Path, outputs: tuple) -> None:
    """Let the contract of a version promise other outputs than its graph has."""
    contract = Contract.load(folder / "contract.json")
    (folder / "contract.json").write_bytes(msgspec.structs.replace(contract, outputs=outputs).to_json())
    write_digests(folder)


@pytest.mark.parametrize("classes", [("A", "B"), ("A", "B", "C", "D")])
def test_other_classes_than_the_graph_has_are_refused(classes: tuple[str, ...], tmp_path: Path) -> None:
    promise(write_version(tmp_path), (ClassOutput(name="grade", title=text("grade"), classes=classes),))
    reason = scanned(tmp_path).models["small"].refused[1].reason
    assert "output probabilities: the graph gives float32[64, 3] for 64 rows, contract.json says float32[64, " in reason


def test_a_vector_with_other_names_than_the_graph_has_numbers_is_refused(tmp_path: Path) -> None:
    vector = VectorOutput(name="weights", title=text("weights"), tensor="vector", names=("x", "y", "z"))
    promise(write_version(tmp_path, "numbers", outputs=NUMBERS), (*NUMBERS[:2], vector, NUMBERS[3]))
    assert "output vector" in scanned(tmp_path).models["numbers"].refused[1].reason


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
    repository = Repository(tmp_path, threads=1)
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
