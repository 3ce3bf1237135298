"""What is published is whole, the same for the same seed, and nothing when the gate refuses."""

import hashlib
import json
import re
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from exporters import cli
from exporters.errors import PublishError
from exporters.formats import golden, onnx_graph, triton_config
from exporters.models.inputs import tensors
from exporters.models.made import Made
from exporters.publishing import digests, publish
from serving.contract import Contract
from serving.errors import ContractError
from serving.repository.versions import check_digests
from tests.exporters.conftest import SMALL

pytestmark = pytest.mark.integration
MODEL = "performance_model"
FILES = {
    "SHA256SUMS",
    "card.md",
    "contract.json",
    "golden.npz",
    "model.onnx",
    "parity.json",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
}
"""Besides the pictures of the card."""


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def configs(repository: Path) -> dict[str, str]:
    """Triton's files of the model as they lie there."""
    return {name: (repository / MODEL / name).read_text() for name in ("config.pbtxt", "configs/gpu.pbtxt")}


def test_a_version_holds_what_every_server_needs_and_nothing_is_left_beside_it(published: Path):
    assert {name for name in tree(published / MODEL / "1") if not name.endswith(".png")} == FILES
    assert {path.name for path in (published / MODEL).iterdir()} == {"1", "config.pbtxt", "configs"}


def test_sha256sum_itself_finds_every_file_unchanged(published: Path):
    version = published / MODEL / "1"
    checked = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=version, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    names = [line.split("  ", 1)[1] for line in (version / "SHA256SUMS").read_text().splitlines()]
    assert names == sorted(names)
    assert set(names) == set(tree(version)) - {"SHA256SUMS"} | {"../config.pbtxt", "../configs/gpu.pbtxt"}


def test_the_same_seed_gives_the_same_bytes_in_every_file(published: Path, tmp_path: Path):
    assert cli.main([*SMALL, "--repository", str(tmp_path)]) == 0
    again, before = tree(tmp_path), tree(published)
    assert {name: hashlib.sha256(content).hexdigest() for name, content in again.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in before.items()
    }


def test_golden_rows_are_what_the_trained_model_itself_answered(published: Path, made: Made):
    version = published / MODEL / "1"
    contract = Contract.load(version / "contract.json")
    named = golden.load(version / "golden.npz", contract)
    given = tensors(contract, golden.raw_columns(named))
    assert np.array_equal(named["features"], given["features"])
    assert named["features"].shape == (256, len(contract.program.features))
    answers = made.trained.answers(given)
    assert np.array_equal(named["output.probabilities"], answers["probabilities"])
    assert np.array_equal(named["output.label"], answers["label"])
    assert (named["output.probabilities"].dtype, named["output.label"].dtype) == (np.float32, np.int32)
    assert np.isnan(named["raw.quality"]).any()
    assert (named["raw.department"] == "").any()
    (department,) = (raw for raw in contract.inputs if raw.name == "department")
    assert not set(named["raw.department"].tolist()) <= {*department.categories, ""}
    with zipfile.ZipFile(version / "golden.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_tritons_config_names_the_tensors_and_no_version(published: Path):
    text = (published / MODEL / "config.pbtxt").read_text()
    features = len(Contract.load(published / MODEL / "1" / "contract.json").program.features)
    for line in (
        'name: "performance_model"',
        'backend: "onnxruntime"',
        "max_batch_size: 1024",
        f'{{ name: "features" data_type: TYPE_FP32 dims: [ {features} ] }}',
        '{ name: "probabilities" data_type: TYPE_FP32 dims: [ 3 ] }',
        '{ name: "label" data_type: TYPE_INT32 dims: [ 1 ] reshape { shape: [ ] } }',
        "dynamic_batching { }",
        "version_policy { latest { num_versions: 1 } }",
        "instance_group [ { kind: KIND_CPU count: 1 } ]",
    ):
        assert line in text
    gpu = (published / MODEL / "configs" / "gpu.pbtxt").read_text()
    assert "instance_group [ { kind: KIND_GPU } ]" in gpu
    assert gpu[: gpu.index("version_policy")] == text[: text.index("version_policy")]


def test_all_four_are_held_to_the_trained_model_on_ten_thousand_rows(published: Path):
    card = (published / MODEL / "1" / "card.md").read_text()
    held = re.findall(r"^\| (\w[^|]*) \| 10000 \|", card, re.MULTILINE)
    assert held == ["onnxruntime", "SavedModel (serving_default)", "SavedModel (features)", "gateway"]
    told = json.loads((published / MODEL / "1" / "parity.json").read_bytes())["exports"]
    assert [(export["export"], export["rows"]) for export in told] == [(name, 10_000) for name in held]
    assert max(export["largest_difference"] for export in told) <= 1e-5


def test_a_tampered_export_is_refused_with_its_worst_rows_and_nothing_is_published(tmp_path: Path, monkeypatch, capsys):
    honest = onnx_graph.write

    def tampered(trained, name):
        model = onnx.load_from_string(honest(trained, name))
        (weights,) = (a for a in model.graph.node[0].attribute if a.name == "target_weights")
        weights.floats[0] += 0.5
        return model.SerializeToString()

    monkeypatch.setattr(onnx_graph, "write", tampered)
    assert cli.main([*SMALL, "--repository", str(tmp_path / "repository")]) == 1
    out, err = capsys.readouterr()
    assert re.search(
        r"onnxruntime: \d+ of 10000 rows differ from the trained model, numbers by up to .*; the worst:\n  row \d+: ",
        err,
    )
    assert len(re.findall(r"^  row \d+: trained model \[.*onnxruntime \[", err, re.MULTILINE)) == 5
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_next_free_version_is_taken_and_an_old_one_is_kept(repository: Path):
    version = repository / MODEL / "1"
    files, config = tree(version), configs(repository)
    files.pop("SHA256SUMS")
    (repository / MODEL / "7").mkdir()
    assert publish.publish(repository, MODEL, files, config).name == "8"
    with pytest.raises(PublishError, match="already there"):
        publish.publish(repository, MODEL, files, config, 1)
    assert publish.publish(repository, MODEL, {**files, "card.md": b"new"}, config, 1, replace=True) == version
    assert (version / "card.md").read_bytes() == b"new"
    assert digests.differences(version) == []
    assert digests.differences(repository / MODEL / "8") == []
    assert {path.name for path in (repository / MODEL).iterdir()} == {"1", "7", "8", "config.pbtxt", "configs"}


def test_another_config_is_refused_while_older_versions_rely_on_it(repository: Path):
    before = tree(repository)
    with pytest.raises(PublishError, match=r"another config.pbtxt .* than version 1.*remove older versions"):
        publish.publish(repository, MODEL, {"card.md": b""}, {"config.pbtxt": "name: else"})
    assert tree(repository) == before
    publish.publish(repository, MODEL, {"card.md": b""}, {"config.pbtxt": "name: else"}, 1, replace=True)
    assert digests.differences(repository / MODEL / "1") == []


def test_beside_versions_of_before_their_config_stays_and_the_one_for_gpus_is_added(repository: Path):
    version = repository / MODEL / "1"
    contract = Contract.load(version / "contract.json")
    (repository / MODEL / "config.pbtxt").write_text(triton_config.former(contract))
    shutil.rmtree(repository / MODEL / "configs")
    (version / "SHA256SUMS").write_text(digests.render(digests.files_of(version)))
    check_digests(version)
    assert digests.differences(version) == []
    files = {name: content for name, content in tree(version).items() if name != "SHA256SUMS"}
    second = publish.publish(repository, MODEL, files, publish.configs_for(repository, contract))
    assert (second.name, "../configs/gpu.pbtxt" in (second / "SHA256SUMS").read_text()) == ("2", True)
    for each in (version, second):
        check_digests(each)
        assert digests.differences(each) == []
    (repository / MODEL / "configs" / "gpu.pbtxt").write_text("spoilt")
    check_digests(version)
    assert digests.differences(version) == []
    assert digests.differences(second) == [
        "../configs/gpu.pbtxt: changed since it was published, its SHA-256 is not the one in SHA256SUMS"
    ]
    with pytest.raises(ContractError, match=r"^\.\./configs/gpu\.pbtxt: its SHA-256 is"):
        check_digests(second)
    assert publish.configs_for(repository, contract, 3)["config.pbtxt"] == triton_config.former(contract)
    shutil.rmtree(second)
    assert publish.configs_for(repository, contract, 1) == triton_config.render(contract)


def test_a_version_that_cannot_be_written_leaves_no_trace(repository: Path):
    before = tree(repository)
    with pytest.raises(FileExistsError):
        publish.publish(repository, MODEL, {"a": b"", "a/b": b""}, configs(repository))
    assert tree(repository) == before
    assert {path.name for path in (repository / MODEL).iterdir()} == {"1", "config.pbtxt", "configs"}


@pytest.mark.parametrize("name", ["Performance", "../up", "", "a b", "1st", "x" * 65])
def test_a_name_that_cannot_be_a_model_is_refused(tmp_path: Path, name):
    with pytest.raises(PublishError, match="model name"):
        publish.publish(tmp_path, name, {}, {})


def test_while_a_version_is_replaced_its_place_is_never_empty(tmp_path):
    files, config = {"card.md": b"old"}, {"config.pbtxt": "name: m"}
    version = publish.publish(tmp_path, MODEL, files, config, 1)
    seen, done = [], threading.Event()

    def look():
        while not done.is_set():
            seen.append((version / "card.md").exists())

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(50):
        publish.publish(tmp_path, MODEL, {"card.md": b"new %d" % number}, config, 1, replace=True)
    done.set()
    watcher.join()
    assert len(seen) > 50
    assert all(seen)
    assert (version / "card.md").read_bytes() == b"new 49"
    assert sorted(path.name for path in version.parent.iterdir()) == ["1", "config.pbtxt"]
