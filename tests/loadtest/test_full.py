"""What the full benchmark measures: gateways are real, and a peer that is not there is left out with the reason."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bench import full, json_wires, programs
from loadtest.bench.copies import make_copies, names
from loadtest.bench.load import put_load
from loadtest.bench.peer import Launch, Running, Setting
from loadtest.bench.peers import gateway
from loadtest.bench.rows import draw
from loadtest.bench.side_by_side import side_by_side
from loadtest.bench.visit import Case, Effort, all_answer, visit
from loadtest.bench.wires import TENSOR
from loadtest.published import MODEL
from loadtest.servers import ServerError
from serving.repository.versions import load_version

pytestmark = pytest.mark.integration

REPO = Path("model_repo").absolute()
EFFORT = Effort(0.2, 1, streams=2)


@pytest.fixture(scope="module")
def sample():
    return draw(REPO, MODEL, 3)


def test_copies_are_models_of_their_own_that_the_gateway_accepts(tmp_path):
    assert make_copies(REPO, tmp_path, 3, instances=2) == names(3) == (MODEL, f"{MODEL}_2", f"{MODEL}_3")
    for name in names(3):
        assert load_version(tmp_path / name / "1").contract.model == name
        config = (tmp_path / name / "config.pbtxt").read_text()
        assert f'\nname: "{name}"\n' in "\n" + config
        assert "count: 2 }" in config


def test_calls_are_spread_over_all_models(sample):
    work = full.spread_over(sample, ["a", "b"])
    assert [body.startswith(b"\n\x01a") for body in work.bodies[:4]] == [True, False, True, False]
    assert len(set(work.bodies)) == len(sample.calls)


@pytest.mark.parametrize("peer", programs.PEERS, ids=lambda peer: peer.name)
def test_a_peer_that_is_not_installed_is_left_out_with_the_reason(tmp_path, sample, peer):
    case = Case("http", peer, REPO, (MODEL,), [sample.work(json_wires.PLAIN)])
    (record,) = list(visit(case, tmp_path, EFFORT, 0))
    assert record["title"] == peer.title
    assert "not installed" in record["left_out"]


def test_one_that_is_left_out_is_not_tried_in_the_next_round(tmp_path, sample):
    case = Case("http", programs.RAY, REPO, (MODEL,), [sample.work(json_wires.PLAIN)])
    assert len(list(full.in_rounds([case], tmp_path, EFFORT, 3))) == 1


def test_the_gateway_gives_onnxruntimes_answers_by_both_rest_protocols(tmp_path, sample):
    works = [sample.work(wire) for wire in full.GATEWAY_HTTP.wires]
    case = Case("http", full.GATEWAY_HTTP, REPO, (MODEL,), works, rate=20.0)
    *runs, start = list(visit(case, tmp_path, EFFORT, 0))
    assert [(run["wire"], run["rate"]) for run in runs] == [("V2 REST", 0), ("TF Serving REST", 0), ("V2 REST", 20.0)]
    assert all(run["calls"] == run["counted_calls"] > 0 and run["largest_difference"] <= 1e-5 for run in runs)
    assert start["start_seconds"] > 0
    assert start["loaded_mib"] > 10


@pytest.mark.slow
def test_two_gateways_side_by_side_share_the_calls(tmp_path, sample):
    models = make_copies(REPO, tmp_path / "repo", 1)
    launched, work = [], sample.work(TENSOR)

    def launch(setting):
        launched.append(gateway.launch(setting))
        return launched[-1]

    peer = side_by_side(replace(gateway.PEER, launch=launch))
    setting = Setting(tmp_path / "repo", models, Path(sys.prefix), tmp_path, workers=2)
    with Running(peer, setting, all_answer([work])) as running:
        found = put_load(running, work, 0.3)
        counts = [one.handled() for one in launched]
        assert len(running.tree.pids()) == 3  # with the shell that started both
    assert found.calls == found.counted_calls
    assert sum(counts) == found.calls + 2
    assert min(counts) > 1


def test_another_server_that_ends_by_itself_is_left_out_and_the_gateway_ends_everything(tmp_path, sample):
    works = [sample.work(TENSOR)]
    ends = replace(gateway.PEER, launch=lambda _: Launch(["false"], {"grpc": "127.0.0.1:1"}))
    (record,) = list(visit(Case("http", replace(ends, name="other"), REPO, (MODEL,), works), tmp_path, EFFORT, 0))
    assert record["left_out"].startswith("ended with 1")
    with pytest.raises(ServerError, match="ended with 1"):
        list(visit(Case("http", ends, REPO, (MODEL,), works), tmp_path, EFFORT, 0))
