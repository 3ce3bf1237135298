"""A version that does not keep its promises is refused with the reason, and the one before it goes on serving."""

import json
import time

import grpc
import numpy as np
import pytest

from serving.stubs.foreign import kserve_v2_pb2 as v2
from tests.integration.publishing import answer, publish, reseal, states
from tests.support.metrics import sample, until

pytestmark = pytest.mark.integration


def _flip(folder):
    graph = bytearray((folder / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (folder / "model.onnx").write_bytes(graph)


def _rewrite_golden(folder, change):
    with np.load(folder / "golden.npz") as golden:
        arrays = dict(golden)
    change(arrays)
    np.savez(folder / "golden.npz", **arrays)
    reseal(folder)


def _wrong_outputs(folder):
    _rewrite_golden(
        folder, lambda arrays: arrays.update({"output.probabilities": arrays["output.probabilities"][::-1]})
    )


def _wrong_features(folder):
    _rewrite_golden(folder, lambda arrays: arrays.update(features=arrays["features"] + np.float32(0.01)))


def _no_outputs(folder):
    _rewrite_golden(folder, lambda arrays: arrays.pop("output.probabilities"))


def _impossible_rows(folder):
    _rewrite_golden(folder, lambda arrays: arrays.update({"raw.hours": arrays["raw.hours"] + 1000}))


def _rewrite_contract(folder, change):
    contract = json.loads((folder / "contract.json").read_text("utf-8"))
    change(contract)
    (folder / "contract.json").write_text(json.dumps(contract), "utf-8")
    reseal(folder)


def _another_model(folder):
    _rewrite_contract(folder, lambda contract: contract.update(model="canary"))


def _future_format(folder):
    _rewrite_contract(folder, lambda contract: contract.update(format=99))


def _unknown_member(folder):
    _rewrite_contract(folder, lambda contract: contract.update(canary=1))


def _unknown_operation(folder):
    _rewrite_contract(folder, lambda contract: contract["program"]["steps"][0].update(op="canary"))


def _swapped_steps(folder):
    _rewrite_contract(folder, lambda contract: contract["program"]["steps"][1].update(params=[40, 11]))


def _no_graph(folder):
    (folder / "model.onnx").write_bytes(b"canary")
    reseal(folder)


def _no_archive(folder):
    (folder / "golden.npz").write_bytes(b"canary")
    reseal(folder)


def _cut_off(folder):
    whole = (folder / "golden.npz").read_bytes()
    (folder / "golden.npz").write_bytes(whole[: len(whole) // 2])
    reseal(folder)


def _emptied(folder):
    (folder / "golden.npz").write_bytes(b"")
    reseal(folder)


def _binary_contract(folder):
    (folder / "contract.json").write_bytes(b'{"format": "\xff\xfe"}')
    reseal(folder)


def _pickled(folder):
    np.savez(folder / "golden.npz", features=np.array([{"canary": 1}], dtype=object))
    reseal(folder)


SPOILED = {
    "a flipped byte": (_flip, "model.onnx: its SHA-256 is"),
    "a missing file": (lambda folder: (folder / "contract.json").unlink(), "contract.json"),
    "a file nobody listed": (lambda folder: (folder / "extra.txt").write_text("x"), "extra.txt: not listed"),
    "no digests": (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS"),
    "unreadable digests": (lambda folder: (folder / "SHA256SUMS").write_text("canary\n"), "SHA256SUMS: cannot read"),
    "binary digests": (lambda folder: (folder / "SHA256SUMS").write_bytes(b"\xff\xfe\0"), "SHA256SUMS: cannot read"),
    "a path that leaves the version": (
        lambda folder: (folder / "SHA256SUMS").write_text("0" * 64 + "  ../../../etc/passwd\n"),
        "SHA256SUMS: cannot read",
    ),
    "an empty version": (lambda folder: [path.unlink() for path in folder.iterdir()], "SHA256SUMS"),
    "wrong golden outputs": (_wrong_outputs, "golden rows: output"),
    "wrong golden features": (_wrong_features, "golden rows: this gateway's features differ"),
    "no golden outputs": (_no_outputs, "golden rows: no output probabilities"),
    "golden rows that cannot be": (_impossible_rows, "hours"),
    "the contract of another model": (_another_model, "contract.json is for 'canary'"),
    "a format of the future": (_future_format, "format is 99"),
    "an unknown member in the contract": (_unknown_member, "contract.json"),
    "an unknown operation": (_unknown_operation, "unknown operation 'canary'"),
    "another feature program": (_swapped_steps, "golden rows: this gateway's features differ"),
    "no ONNX graph": (_no_graph, "model.onnx: onnxruntime cannot load it"),
    "no NumPy archive": (_no_archive, "golden.npz"),
    "a pickle in the archive": (_pickled, "golden.npz"),
    "an archive cut off": (_cut_off, "golden.npz"),
    "an empty archive": (_emptied, "golden.npz"),
    "a contract that is no text": (_binary_contract, "contract.json"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_version_is_refused_with_its_reason_and_the_former_goes_on(what, watched):
    spoil, reason = SPOILED[what]
    model = "spoiled_" + what.replace(" ", "_")
    publish(watched.root, model, 1, seed=1)
    assert until(lambda: answer(watched.at, model) is not None)
    before = answer(watched.at, model)
    publish(watched.root, model, 2, seed=2, spoil=spoil)
    assert until(lambda: set(states(watched.at, model)) == {1, 2})
    shown = states(watched.at, model)
    assert shown[1] == ("AVAILABLE", "")
    assert shown[2][0] == "END"
    assert reason in shown[2][1]
    assert str(watched.root) not in shown[2][1], "a reason tells no path of this machine"
    assert answer(watched.at, model) == before
    assert answer(watched.at, model, "/versions/2") is None
    index = _index(watched.at)
    assert index[model, "1"] == ("READY", "")
    assert index[model, "2"] == ("UNAVAILABLE", shown[2][1])


def _index(at):
    with grpc.insecure_channel(at.grpc) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/RepositoryIndex",
            v2.RepositoryIndexRequest.SerializeToString,
            v2.RepositoryIndexResponse.FromString,
        )
        return {(one.name, one.version): (one.state, one.reason) for one in call(v2.RepositoryIndexRequest()).models}


def test_a_refused_version_is_served_once_it_is_mended(watched):
    publish(watched.root, "mended", 1, seed=1)
    publish(watched.root, "mended", 2, seed=2, spoil=_flip)
    assert until(lambda: states(watched.at, "mended").get(2, ("",))[0] == "END")
    publish(watched.root, "mended", 2, seed=2)
    assert until(lambda: states(watched.at, "mended") == {2: ("AVAILABLE", "")})


def test_a_refusal_is_logged_and_counted_once_not_at_every_look(watched):
    publish(watched.root, "once", 1, seed=1, spoil=_wrong_outputs)
    assert until(lambda: states(watched.at, "once").get(1, ("",))[0] == "END")
    time.sleep(1)
    assert len([line for line in watched.at.log if "model once version 1 is refused" in line]) == 1
    assert sample(watched.at, "epm_model_loads_total", model="once", outcome="refused") == 1


def test_a_model_with_no_version_that_can_be_served_is_not_found_with_the_reason(watched):
    publish(watched.root, "hopeless", 1, seed=1, spoil=_future_format)
    assert until(lambda: 1 in states(watched.at, "hopeless"))
    assert answer(watched.at, "hopeless") is None


def test_a_spoiled_artifact_under_the_same_number_is_refused_and_the_former_goes_on(watched):
    publish(watched.root, "same", 1, seed=1)
    assert until(lambda: answer(watched.at, "same") is not None)
    before = answer(watched.at, "same")
    publish(watched.root, "same", 1, seed=2, spoil=_wrong_outputs)
    assert until(lambda: sample(watched.at, "epm_model_loads_total", model="same", outcome="refused") == 1)
    assert answer(watched.at, "same") == before
    assert "golden rows" in states(watched.at, "same")[1][1]
    publish(watched.root, "same", 1, seed=3)
    assert until(lambda: states(watched.at, "same")[1] == ("AVAILABLE", ""))
    assert answer(watched.at, "same") != before
