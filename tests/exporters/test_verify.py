"""`epm-export verify` finds whatever is not as it was published, and says how far answers are from the golden rows."""

import io
import json
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from exporters import cli
from exporters.errors import PublishError
from exporters.formats import golden, onnx_graph, triton_config
from exporters.fresh_process import FreshProcess
from exporters.publishing import digests, papers, verify
from serving.contract import Contract, LeftOut
from tests.exporters import random_models as models

pytestmark = pytest.mark.integration
ATTRITION, PERFORMANCE = "attrition_model", "performance_model"


@pytest.fixture(autouse=True)
def one_process(process: FreshProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow takes seconds to import: all of it here runs in one process."""
    monkeypatch.setattr(verify, "FreshProcess", lambda: nullcontext(process))


@pytest.fixture
def repository(both: Path, tmp_path: Path) -> Path:
    """A copy of `both` that a test may spoil."""
    return Path(shutil.copytree(both, tmp_path / "repository"))


def reseal(version: Path) -> None:
    """Write the digests anew, as one would who wants to hide a change."""
    (version / digests.NAME).write_text(digests.render(digests.files_of(version)))


def found(version: Path, process: FreshProcess) -> list[str]:
    """What verify finds wrong with a version."""
    return list(verify.check(version, process).problems)


def test_versions_that_are_well_are_told_with_how_far_they_are_from_the_golden_rows(both: Path, capsys):
    assert cli.main(["verify", str(both)]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = re.compile(r"(\w+)/1: as it was published; 256 golden rows, largest difference (\d\.\de-\d\d)")
    names, differences = zip(*(told.fullmatch(line).groups() for line in lines), strict=True)
    assert names == (ATTRITION, PERFORMANCE)
    assert max(map(float, differences)) < 1e-6


def test_a_version_as_it_was_is_told_from_one_whose_saved_model_was_exchanged(repository: Path, capsys):
    home = repository / PERFORMANCE
    shutil.copytree(home / "1", home / "2")
    (home / "2" / "saved_model.pb").write_bytes(b"not a graph")
    reseal(home / "2")
    assert cli.main(["verify", str(repository)]) == 1
    _, well, broken, *_ = capsys.readouterr().out.splitlines()
    assert well.startswith("performance_model/1: as it was published")
    assert broken.startswith("performance_model/2/saved_model.pb: ")


@pytest.mark.parametrize("model", [ATTRITION, PERFORMANCE])
def test_one_flipped_byte_of_any_file_is_found_and_the_file_named(repository: Path, model, capsys):
    version = repository / model / "1"
    files = [path for path in version.parent.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"SHA256SUMS", "reliability.png", "config.pbtxt", "gpu.pbtxt"}
    assert len(files) == 12
    for path in files:
        content = path.read_bytes()
        for at in (0, len(content) // 2, len(content) - 1):
            for flip in (0x01, 0x20, 0x80):
                path.write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
                assert verify.report(repository, model) == 1
                assert path.name in capsys.readouterr().out
        path.write_bytes(content)
    assert digests.differences(version) == []


def test_files_that_came_or_went_are_named(repository: Path, process: FreshProcess):
    version = repository / PERFORMANCE / "1"
    (version / "card.md").unlink()
    (version / "assets").mkdir()
    (version / "assets" / "words.txt").write_text("x")
    assert found(version, process) == [
        "card.md: missing, SHA256SUMS lists it",
        "assets/words.txt: not listed in SHA256SUMS",
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("card.md", "card.md: missing"),
        ("parity.json", "parity.json: missing"),
        ("variables/variables.index", "variables/variables.index: missing"),
        ("reliability.png", "reliability.png: missing, card.md shows it"),
        ("../config.pbtxt", "../config.pbtxt: missing"),
    ],
)
def test_a_file_that_is_needed_is_missed_even_with_new_digests(repository: Path, process, name, problem):
    version = repository / PERFORMANCE / "1"
    (version / name).unlink()
    listed = {name: path for name, path in digests.files_of(version).items() if path.is_file()}
    (version / digests.NAME).write_text(digests.render(listed))
    assert found(version, process) == [problem]


def another(values: np.ndarray) -> np.ndarray:
    """One row of an array changed, to something that the gateway would accept and the model would tell apart."""
    row = 16  # even: as it was held out, not perturbed
    if values.dtype.kind == "U":
        values[row] = "sales" if values[row] != "sales" else "研发"
    elif values.dtype.kind == "i":
        values[row] = 1 - min(values[row], 1)
    else:
        changed = np.nan_to_num(values[row])
        values[row] = np.where(changed > 0.5, changed * 0.9, changed + 0.1)
    return values


def arrays_of(model: str) -> list[str]:
    contract = models.attrition_contract() if model == ATTRITION else models.grade_contract()
    outputs = [f"output.{tensor}" for tensor in contract.graph_outputs()]
    window = ["window"] if contract.program.window else []
    return [f"raw.{raw.name}" for raw in contract.inputs] + ["features", *window, *outputs]


@pytest.mark.parametrize(
    ("model", "array"), [(model, array) for model in (ATTRITION, PERFORMANCE) for array in arrays_of(model)]
)
def test_one_changed_row_of_any_golden_array_is_found_even_with_new_digests(repository, process, model, array):
    version = repository / model / "1"
    named = golden.load(version / "golden.npz", Contract.load(version / "contract.json"))
    named[array] = another(named[array].copy())
    (version / "golden.npz").write_bytes(golden.to_bytes(named))
    reseal(version)
    (problem,) = found(version, process)
    assert problem.startswith("golden.npz: ")
    assert "row 16" in problem
    if array.startswith("output."):
        assert "1 of 256 rows" in problem


@pytest.mark.parametrize("other", ["0.5", "0.3001", "0.30000004"])
def test_another_threshold_in_the_contract_is_found_even_with_new_digests(repository: Path, process, other):
    version = repository / ATTRITION / "1"
    path = version / "contract.json"
    path.write_text(path.read_text().replace(f'"threshold": {float(models.THRESHOLD)!r}', f'"threshold": {other}'))
    reseal(version)
    assert found(version, process) == [f"contract.json: the threshold is {other}, that of model.onnx 0.3"]


def test_a_graph_that_is_not_one_or_has_no_threshold_is_blamed(repository: Path, process: FreshProcess):
    version = repository / ATTRITION / "1"
    graph = version / "model.onnx"
    graph.write_bytes(onnx_graph.write(models.grader(), PERFORMANCE))
    reseal(version)
    assert found(version, process) == ["contract.json: the threshold is 0.3, that of model.onnx none"]
    graph.write_bytes(b"not a graph")
    reseal(version)
    (problem,) = found(version, process)
    assert problem.startswith("model.onnx: ")


def of_export(**figures: object) -> Callable[[dict[str, Any]], Any]:
    """Changes what parity.json says of its last export."""
    return lambda said: said["exports"][-1].update(figures)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda said: said.clear(), "Object missing required field `tolerance`"),
        (lambda said: said.update(tolerance=1e-4), "tolerance 0.0001, expected at most 1e-05"),
        (lambda said: said.update(tolerance=1e-12), "onnxruntime differs by "),
        (lambda said: said["exports"].pop(), "tells of SavedModel (features), SavedModel (serving_default), onnxrun"),
        (lambda said: said["exports"].append(said["exports"][0]), "tells of SavedModel (features), SavedModel (serv"),
        (
            lambda said: said["exports"].clear(),
            "tells of nothing, expected onnxruntime, SavedModel (serving_default), ",
        ),
        (of_export(largest_difference=2e-5), "gateway differs by 2e-05, allowed 1e-05"),
        (of_export(largest_difference=-1), "gateway differs by -1, allowed 1e-05"),
        (of_export(largest_difference=None), "Expected `float`, got `null`"),
        (of_export(rows=0), "gateway: 0 labels of 0 rows differ"),
        (of_export(labels_that_differ=-1), "gateway: -1 labels of 512 rows differ"),
    ],
)
def test_a_parity_file_that_does_not_hold_every_export_to_our_tolerance_is_refused(
    repository, process, change, problem
):
    version = repository / ATTRITION / "1"
    said = json.loads((version / "parity.json").read_text())
    change(said)
    (version / "parity.json").write_text(json.dumps(said))
    reseal(version)
    (found_problem,) = found(version, process)
    assert found_problem.startswith(f"parity.json: {problem}")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_parity_file_that_is_none_is_refused(repository: Path, process: FreshProcess, content):
    version = repository / PERFORMANCE / "1"
    (version / "parity.json").write_bytes(content)
    reseal(version)
    (problem,) = found(version, process)
    assert problem.startswith("parity.json: ")


CARD = "# Card\n\n## Inputs\n\n- `tenure`: x\n\n## Left out\n\nOf it:\n\n{bullets}\n\n## Origin\n\n- data: `{data}`\n"
BOTH = "- `gender`: protected\n- `age`: protected"


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        (CARD.format(bullets=BOTH, data="5eed"), None),
        ("nothing", "card.md: 'gender' is left out by the contract and not named under Left out"),
        (
            CARD.format(bullets="- `gender`: protected", data="5eed"),
            "card.md: 'age' is left out by the contract and not named under Left out",
        ),
        (
            CARD.format(bullets=f"{BOTH}\n- `id`: who it is", data="5eed"),
            "contract.json: card.md names 'id' as left out, left_out does not",
        ),
        (
            CARD.format(bullets=BOTH, data="0ther"),
            "card.md: does not name the data of the contract's provenance: its sha256 is missing",
        ),
    ],
)
def test_a_card_that_says_other_than_its_contract_is_found(repository: Path, process: FreshProcess, card, problem):
    version = repository / PERFORMANCE / "1"
    contract = Contract.load(version / "contract.json")
    left_out = (LeftOut("gender", "protected"), LeftOut("age", "protected"))
    origin = msgspec.structs.replace(contract.provenance, data_sha256="5eed")
    contract = msgspec.structs.replace(contract, left_out=left_out, provenance=origin)
    (version / "contract.json").write_bytes(contract.to_json())
    (version / "card.md").write_text(card)
    reseal(version)
    assert found(version, process) == ([] if problem is None else [problem])


@pytest.mark.parametrize("model", [ATTRITION, PERFORMANCE])
def test_contract_card_and_parity_of_the_committed_versions_agree_and_a_spoilt_one_is_found(model):
    version = Path(__file__).resolve().parents[2] / "model_repo" / model / "1"
    contract = Contract.load(version / "contract.json")
    papers.check(version, contract)
    with pytest.raises(PublishError, match=r"contract\.json: card\.md names 'gender' as left out, left_out does not"):
        papers.check(version, msgspec.structs.replace(contract, left_out=()))


def test_a_golden_row_that_the_contract_does_not_allow_is_named_with_its_column(repository: Path, process):
    version = repository / ATTRITION / "1"
    named = golden.load(version / "golden.npz", Contract.load(version / "contract.json"))
    named["raw.monthly_overtime"][3, 11] = -5
    (version / "golden.npz").write_bytes(golden.to_bytes(named))
    reseal(version)
    (problem,) = found(version, process)
    assert problem.startswith("golden.npz: raw.monthly_overtime: ")
    assert "row 3, month 11" in problem


@pytest.mark.parametrize("spoil", ["pickle", "missing array", "truncated", "no rows"])
def test_a_golden_file_that_cannot_be_used_is_refused(repository: Path, process: FreshProcess, spoil):
    version = repository / PERFORMANCE / "1"
    path = version / "golden.npz"
    named = golden.load(path, Contract.load(version / "contract.json"))
    if spoil == "pickle":
        out = io.BytesIO()
        np.savez(out, features=np.array([{"a": 1}], object))
        path.write_bytes(out.getvalue())
    elif spoil == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif spoil == "missing array":
        del named["output.label"]
        path.write_bytes(golden.to_bytes(named))
    else:
        path.write_bytes(golden.to_bytes({name: values[:0] for name, values in named.items()}))
    reseal(version)
    (problem,) = found(version, process)
    assert problem.startswith("golden.npz: ")


def test_an_onnx_graph_exchanged_for_something_else_is_found(repository: Path, process: FreshProcess):
    version = repository / PERFORMANCE / "1"
    (version / "model.onnx").write_bytes(b"not a graph")
    reseal(version)
    (problem,) = found(version, process)
    assert problem.startswith("model.onnx: ")


def test_a_graph_of_another_model_is_blamed_and_not_the_golden_rows(repository: Path, process: FreshProcess):
    version = repository / PERFORMANCE / "1"
    (version / "model.onnx").write_bytes(onnx_graph.write(models.grader(seed=9), PERFORMANCE))
    reseal(version)
    (problem,) = found(version, process)
    assert problem.startswith("model.onnx: ONNX: ")
    assert "rows differ from the golden rows" in problem


def test_a_missing_tensorflow_is_not_blamed_on_the_version(both: Path, monkeypatch, capsys):
    def lost(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(FreshProcess, "call", lost)
    assert cli.main(["verify", str(both)]) == 1
    out, err = capsys.readouterr()
    assert "saved_model.pb" not in out
    assert err.splitlines()[-1] == "epm-export: tensorflow is not installed: pip install 'epm-serving[export]'"


def test_a_contract_or_config_that_does_not_belong_here_is_found(repository: Path, process: FreshProcess):
    version = repository / PERFORMANCE / "1"
    config = version.parent / "config.pbtxt"
    config.write_text(config.read_text().replace("1024", "8"))
    reseal(version)
    assert found(version, process) == ["../config.pbtxt: not what the contract calls for"]
    config.write_text(triton_config.former(Contract.load(version / "contract.json")))
    reseal(version)
    assert found(version, process) == []
    (version.parent / "configs" / "gpu.pbtxt").write_text("name: else")
    reseal(version)
    assert found(version, process) == ["../configs/gpu.pbtxt: not what the contract calls for"]
    (version.parent / "configs" / "gpu.pbtxt").unlink()
    assert found(version, process) == ["../configs/gpu.pbtxt: missing, SHA256SUMS lists it"]
    reseal(version)
    assert found(version, process) == []
    version.parent.rename(repository / "other")
    (problem,) = found(repository / "other" / "1", process)
    assert problem == "contract.json: the model is 'performance_model', its folder 'other'"


def test_a_repository_without_versions_is_an_error(tmp_path: Path, capsys):
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert cli.main(["verify", str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err
