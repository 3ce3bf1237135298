"""`epm-export verify` finds whatever is not as it was published."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from exporters import cli
from exporters.formats import golden
from exporters.fresh_process import FreshProcess
from exporters.publishing import digests
from exporters.publishing.verify import check
from serving.contract import Contract

pytestmark = pytest.mark.integration


def reseal(version: Path) -> None:
    """Write the digests anew, as one would who wants to hide a change."""
    (version / digests.NAME).write_text(digests.render(digests.files_of(version)))


def found(version: Path) -> list[str]:
    """What verify finds wrong with a version."""
    with FreshProcess() as process:
        return check(version, process)


def test_a_version_as_it_was_is_told_from_one_whose_saved_model_was_exchanged(repository: Path, capsys):
    home = repository / "performance_model"
    shutil.copytree(home / "1", home / "2")
    (home / "2" / "saved_model.pb").write_bytes(b"not a graph")
    reseal(home / "2")
    assert cli.main(["verify", str(repository)]) == 1
    well, broken = capsys.readouterr().out.splitlines()
    assert well == "performance_model/1: as it was published"
    assert broken.startswith("performance_model/2/saved_model.pb: ")


def test_one_flipped_byte_of_any_file_is_found_and_the_file_named(repository: Path, capsys):
    version = repository / "performance_model" / "1"
    files = [path for path in [*version.rglob("*"), version.parent / "config.pbtxt"] if path.is_file()]
    assert len(files) == 9
    for path in files:
        content = path.read_bytes()
        for at in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :])
            assert cli.main(["verify", str(repository)]) == 1
            name = path.name if path.name != "SHA256SUMS" else "performance_model/1"
            assert name in capsys.readouterr().out
        path.write_bytes(content)
    assert digests.differences(version) == []


def test_files_that_came_or_went_are_named(repository: Path):
    version = repository / "performance_model" / "1"
    (version / "card.md").unlink()
    (version / "assets").mkdir()
    (version / "assets" / "words.txt").write_text("x")
    assert found(version) == ["card.md: missing", "assets/words.txt: not listed in SHA256SUMS"]


def changed_golden(version: Path, name: str, change) -> list[str]:
    """What verify says of a version whose golden array `name` was changed, and its digests with it."""
    named = golden.load(version / "golden.npz", Contract.load(version / "contract.json"))
    named[name] = change(named[name].copy())
    (version / "golden.npz").write_bytes(golden.to_bytes(named))
    reseal(version)
    return found(version)


def test_a_changed_golden_answer_is_found_even_with_new_digests(repository: Path):
    def worse(values: np.ndarray) -> np.ndarray:
        values[17] = values[17][::-1]
        return values

    (problem,) = changed_golden(repository / "performance_model" / "1", "output.probabilities", worse)
    assert "model.onnx: 1 of 256 rows differ from the golden rows" in problem
    assert "row 17" in problem


def test_a_changed_golden_cell_is_found_with_its_row_and_feature(repository: Path):
    def longer(values: np.ndarray) -> np.ndarray:
        values[4] = values[4] + 1 if values[4] < 44 else values[4] - 1
        return values

    (problem,) = changed_golden(repository / "performance_model" / "1", "raw.hours", longer)
    assert problem == "golden.npz: the raw rows do not give its features: row 4, feature hours:filled"


def test_a_golden_file_with_pickles_or_without_an_array_is_refused(repository: Path):
    version = repository / "performance_model" / "1"
    out = io.BytesIO()
    np.savez(out, features=np.array([{"a": 1}], object))
    (version / "golden.npz").write_bytes(out.getvalue())
    reseal(version)
    (problem,) = found(version)
    assert problem.startswith("golden.npz: ")


def test_an_onnx_model_exchanged_for_another_is_found(repository: Path):
    version = repository / "performance_model" / "1"
    (version / "model.onnx").write_bytes(b"not a graph")
    reseal(version)
    (problem,) = found(version)
    assert problem.startswith("model.onnx: ")


def test_a_missing_tensorflow_is_not_blamed_on_the_version(repository: Path, monkeypatch, capsys):
    def lost(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(FreshProcess, "call", lost)
    assert cli.main(["verify", str(repository)]) == 1
    out, err = capsys.readouterr()
    assert "saved_model.pb" not in out
    assert err.splitlines()[-1] == "epm-export: tensorflow is not installed: pip install 'epm-serving[export]'"


def test_a_contract_or_config_that_does_not_belong_here_is_found(repository: Path):
    version = repository / "performance_model" / "1"
    config = version.parent / "config.pbtxt"
    config.write_text(config.read_text().replace("1024", "8"))
    reseal(version)
    assert found(version) == ["../config.pbtxt: not what the contract calls for"]
    version.parent.rename(repository / "other")
    (problem,) = found(repository / "other" / "1")
    assert problem == "contract.json: the model is 'performance_model', its folder 'other'"


def test_a_repository_without_versions_is_an_error(tmp_path: Path, capsys):
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert cli.main(["verify", str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err
