"""Versions come and go below a running gateway; calls never notice."""

import json
import shutil
import threading
import time

import grpc
import pytest

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from tests.faults.protocols import TfServing, ask
from tests.integration.publishing import answer, get, publish, states
from tests.support.metrics import sample, until

pytestmark = pytest.mark.integration


def test_a_new_model_is_served_while_the_gateway_runs(watched):
    assert answer(watched.at, "fresh") is None
    publish(watched.root, "fresh", 1, seed=1)
    assert until(lambda: answer(watched.at, "fresh") is not None)
    assert states(watched.at, "fresh") == {1: ("AVAILABLE", "")}


def test_a_new_version_takes_over_and_the_old_one_goes(watched):
    publish(watched.root, "moving", 1, seed=1)
    assert until(lambda: answer(watched.at, "moving") is not None)
    _, first = answer(watched.at, "moving")
    publish(watched.root, "moving", 2, seed=2)
    assert until(lambda: answer(watched.at, "moving")[0] == 2)
    assert answer(watched.at, "moving")[1] != first
    assert answer(watched.at, "moving", "/versions/1") is None
    assert states(watched.at, "moving") == {2: ("AVAILABLE", "")}


def test_an_older_version_is_served_again_when_the_newest_is_taken_away(watched):
    publish(watched.root, "back", 1, seed=1)
    publish(watched.root, "back", 2, seed=2)
    assert until(lambda: answer(watched.at, "back") is not None and answer(watched.at, "back")[0] == 2)
    shutil.rmtree(watched.root / "back" / "2")
    assert until(lambda: answer(watched.at, "back")[0] == 1)


def test_another_artifact_under_the_same_number_is_swapped_in(watched):
    publish(watched.root, "again", 1, seed=1)
    assert until(lambda: answer(watched.at, "again") is not None)
    first = answer(watched.at, "again")
    publish(watched.root, "again", 1, seed=2)
    assert until(lambda: answer(watched.at, "again") not in (first, None))
    assert answer(watched.at, "again")[0] == 1
    assert sample(watched.at, "epm_model_loads_total", model="again", outcome="served") == 2


def test_a_label_keeps_an_older_version(watched):
    publish(watched.root, "labelled", 1, seed=1)
    (watched.root / "labelled" / "labels.json").write_text(json.dumps({"stable": 1}))
    publish(watched.root, "labelled", 2, seed=2)
    assert until(lambda: set(states(watched.at, "labelled")) == {1, 2})
    assert answer(watched.at, "labelled")[0] == 2
    body = {"instances": [{"hours": 40}]}
    stable = get(watched.at, "/v1/models/labelled/labels/stable:predict", body)
    assert stable == get(watched.at, "/v1/models/labelled/versions/1:predict", body)
    assert stable != get(watched.at, "/v1/models/labelled:predict", body)
    (watched.root / "labelled" / "labels.json").write_text("{ half of a file")
    time.sleep(0.7)
    assert get(watched.at, "/v1/models/labelled/labels/stable:predict", body) == stable
    (watched.root / "labelled" / "labels.json").write_text("{}")
    assert until(lambda: set(states(watched.at, "labelled")) == {2})
    assert get(watched.at, "/v1/models/labelled/labels/stable:predict", body)[0] == 404


def test_a_model_that_is_deleted_is_not_found_and_the_others_stay(watched):
    publish(watched.root, "leaving", 1, seed=1)
    assert until(lambda: answer(watched.at, "leaving") is not None)
    shutil.rmtree(watched.root / "leaving")
    assert until(lambda: answer(watched.at, "leaving") is None)
    assert states(watched.at, "leaving") == {}
    assert answer(watched.at, "base") is not None


def test_what_is_no_version_is_left_alone(watched):
    publish(watched.root, "odd", 1, seed=1)
    for name in ("0", "01", "-2", "2.tmp", ".3.half", "x"):
        (watched.root / "odd" / name).mkdir()
    (watched.root / "odd" / "4").write_text("a file")
    (watched.root / ".hidden" / "1").mkdir(parents=True)
    assert until(lambda: answer(watched.at, "odd") is not None)
    assert set(states(watched.at, "odd")) == {1}


def test_swaps_under_load_lose_no_call_and_every_answer_is_right_for_its_version(watched):
    publish(watched.root, "busy", 1, seed=1)
    assert until(lambda: answer(watched.at, "busy") is not None)
    seen, wrong, stop = [], [], threading.Event()

    def hammer(model, keep):
        protocol = TfServing(watched.at.grpc, watched.at.http)
        while not stop.is_set():
            outcome = protocol.ask(ask(model, hours=[40]))
            (keep if outcome.status == "OK" else wrong).append(outcome)
        protocol.close()

    others = []
    threads = [
        threading.Thread(target=hammer, args=("busy", seen)),
        threading.Thread(target=hammer, args=("base", others)),
    ]
    for thread in threads:
        thread.start()
    right = {1: tuple(answer(watched.at, "busy")[1])}
    for version in range(2, 7):
        publish(watched.root, "busy", version, seed=10 + version)
        assert until(lambda version=version: answer(watched.at, "busy")[0] == version)
        right[version] = tuple(answer(watched.at, "busy")[1])
        assert until(lambda version=version: seen[-1].probabilities == right[version])
    stop.set()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert len(set(others)) == 1, "a load never disturbs the other models"
    assert len(seen) > 100
    assert len(set(right.values())) == 6
    assert {outcome.probabilities for outcome in seen} == set(right.values()), "each answer is that of one version"


def test_a_stream_goes_on_over_a_swap(watched):
    publish(watched.root, "flowing", 1, seed=1)
    assert until(lambda: answer(watched.at, "flowing") is not None)

    def requests():
        for number in range(100):
            if number == 20:
                publish(watched.root, "flowing", 2, seed=2)
            request = v1.PredictRequest(request_id=str(number), model=v1.ModelRef(name="flowing"))
            request.columns.add(name="hours", doubles=v1.Doubles(values=[40]))
            time.sleep(0.01)
            yield request

    with grpc.insecure_channel(watched.at.grpc) as channel:
        responses = list(prediction_pb2_grpc.PredictionServiceStub(channel).StreamPredict(requests(), timeout=60))
    assert [response.request_id for response in responses] == [str(number) for number in range(100)]
    versions = [response.model_version for response in responses]
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}
