"""Random and broken requests: the compiled listener answers as the handlers do, with which no listener has to do."""

import json

import pytest

from loadtest.listener.fuzz import main

pytestmark = pytest.mark.faults


@pytest.mark.timeout(1500)
def test_random_and_broken_requests_are_answered_as_by_the_handlers(tmp_path, capsys):
    results = tmp_path / "fuzz.json"
    places = ["--results", str(results), "--out", str(tmp_path / "fuzz.md")]
    ended = main(["--requests", "20000", "--sample", "2000", *places])
    assert ended == 0, capsys.readouterr().err
    found = json.loads(results.read_text())
    assert sum(found["statuses"].values()) == found["requests"] == 20_000
    assert found["statuses"]["0"] > 5_000
    assert found["statuses"]["3"] > 2_000
    assert found["answered_by"]["compiled"] > 1_000
    assert found["answered_by"]["python"] > 1_000
