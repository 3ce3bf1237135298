"""curl, as written in the README and in runbooks, against REST, probes and metrics."""

import json
import subprocess

import pytest

pytestmark = pytest.mark.conformance


def curl(at, path, *options):
    """Status, headers in small letters, body."""
    command = ["curl", "--silent", "--show-error", "--include", "--max-time", "20", *options, f"http://{at.http}{path}"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split()[1]), headers, body


def test_rows_are_answered_with_predictions(small):
    body = json.dumps({"instances": [{"hours": 40, "department": "研发"}, {"hours": 50}]}, ensure_ascii=False)
    status, headers, answer = curl(small, "/v1/models/small:predict", "--data", body)
    assert status == 200
    assert headers["content-type"].startswith("application/json")
    rows = json.loads(answer)["predictions"]
    assert [set(row) for row in rows] == [
        {"probabilities", "label", "grade", "margin", "coverage", "warnings"} for _ in range(2)
    ]


def test_a_body_of_megabytes_arrives_whole_also_with_expect_continue(small, tmp_path):
    path = tmp_path / "body.json"
    path.write_text(json.dumps({"inputs": {"hours": [40.125] * 4000, "overtime": [1.00000001] * 4000}}, indent=150))
    assert path.stat().st_size > 1 << 20
    options = ("--header", "Expect: 100-continue", "--data-binary", f"@{path}")
    status, _, answer = curl(small, "/v1/models/small:predict", *options)
    assert status == 200
    assert len(json.loads(answer)["outputs"]["grade"]) == 4000


def test_kserve_infer_answers_with_the_id(small):
    tensor = {"name": "hours", "shape": [1], "datatype": "INT32", "data": [40]}
    body = json.dumps({"id": "七", "inputs": [tensor], "outputs": [{"name": "grade"}]})
    status, _, answer = curl(small, "/v2/models/small/versions/1/infer", "--data", body)
    made = json.loads(answer)
    assert (status, made["id"], made["model_version"]) == (200, "七", "1")
    assert [tensor["name"] for tensor in made["outputs"]] == ["grade"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/small/ready"])
def test_probes_answer_200(path, small):
    assert curl(small, path)[0] == 200


def test_status_and_metadata_are_json(small):
    status = json.loads(curl(small, "/v1/models/small")[2])
    assert [entry["state"] for entry in status["model_version_status"]] == ["AVAILABLE", "AVAILABLE"]
    metadata = json.loads(curl(small, "/v1/models/small/metadata")[2])
    assert "hours" in metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    model = json.loads(curl(small, "/v2/models/small")[2])
    assert model["versions"] == ["1", "2"]
    index = json.loads(curl(small, "/v2/repository/index", "--request", "POST")[2])
    assert {"name": "numbers", "version": "1", "state": "READY", "reason": ""} in index
    assert json.loads(curl(small, "/v2")[2])["name"] == "epm"


def test_errors_are_json_with_their_http_status(small):
    status, headers, body = curl(small, "/v1/models/nobody:predict", "--data", '{"instances": [{"hours": 1}]}')
    assert status == 404
    assert headers["content-type"].startswith("application/json")
    assert "nobody" in json.loads(body)["error"]
    status, _, body = curl(small, "/v1/models/small:predict", "--data", '{"instances": [{"hours": -1}]}')
    assert status == 400
    assert json.loads(body)["error"].startswith("hours: ")
    assert curl(small, "/v1/models/small:predict")[0] == 405


def test_metrics_are_a_prometheus_exposition_that_counts_calls(small):
    def answered():
        status, headers, body = curl(small, "/metrics")
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        labels = 'epm_requests_total{method="predict",model="small",protocol="rest_tf",status="OK",version="2"} '
        counts = [line for line in body.decode().splitlines() if line.startswith(labels)]
        return float(counts[0].rpartition(" ")[2]) if counts else 0.0

    before = answered()
    for _ in range(3):
        curl(small, "/v1/models/small:predict", "--data", '{"instances": [{"hours": 40}]}')
    assert answered() == before + 3
