"""Both committed models on default settings: through all three protocols, by columns, by ready tensors and by id."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tensorflow import make_ndarray, make_tensor_proto
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from exporters.data import attrition, synthetic
from serving.repository.served import ServedModel
from serving.repository.versions import load_version
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from tests.integration.commands import epm
from tests.support import published
from tests.support.asking import outputs, ready_request
from tests.support.gateways import Running, gateway
from tests.support.published import REPOSITORY
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

PEOPLE, SEED = 30, 11
MODELS = {
    "performance_model": ("probabilities", "label"),
    "attrition_model": ("probability_3m", "probability_6m", "label"),
}


@dataclass(frozen=True)
class Asked:
    """One model, n rows for it in every form, and what its graph says of them."""

    served: ServedModel
    ids: list[str]
    columns: dict[str, Any]
    ready: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `epm-export sample` writes."""
    folder = tmp_path_factory.mktemp("facts")
    written = {
        "reviews": synthetic.sample_csv(PEOPLE, SEED),
        "people": attrition.static_csv(PEOPLE, SEED),
        "months": attrition.facts_csv(PEOPLE, SEED),
    }
    for name, text in written.items():
        (folder / f"{name}.csv").write_text(text)
    return {name: folder / f"{name}.csv" for name in written}


@pytest.fixture(scope="module")
def at(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with everything loaded into its online store."""
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "token").write_text("a-token-for-tests-only")
    (secrets / "key").write_text("00112233445566778899aabbccddeeff")
    with (
        RedisServer() as redis,
        gateway(
            REPOSITORY, redis_url=redis.url, hash_key_file=secrets / "key", facts_token_file=secrets / "token"
        ) as running,
    ):
        for name, options in (
            ("reviews", ["--text", "department,job_family"]),
            ("people", ["--text", "department,job_family"]),
            ("months", ["--month", "month"]),
        ):
            done = epm(
                "facts", "load", files[name], *options, "--id", "employee", "--address", running.grpc,
                EPM_TOKEN_FILE=str(secrets / "token"),
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, ""), done
        yield running


@pytest.fixture(scope="module", params=MODELS)
def asked(request: pytest.FixtureRequest, files: dict[str, Path]) -> Asked:
    """Rows of the files as somebody would send them who reads the files himself."""
    served = load_version(REPOSITORY / request.param / "1")
    one_each = files["reviews" if request.param == "performance_model" else "people"].read_text()
    columns = published.columns(served, one_each, files["months"].read_text())
    rows = served.schema.assemble(columns, PEOPLE)
    ready = served.graph_tensors(served.program.run(rows))
    ids = [line["employee"] for line in published.table(one_each)]
    return Asked(served, ids, columns, ready, served.run(ready))


def by_tf_serving(at: Running, model: str, tensors: dict[str, Any]) -> dict[str, np.ndarray]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for name, cells in tensors.items():
        request.inputs[name].CopyFrom(make_tensor_proto(cells))
    with grpc.insecure_channel(at.grpc) as channel:
        outputs = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 30).outputs
    return {name: make_ndarray(outputs[name]) for name in MODELS[model]}


def by_triton(at: Running, model: str, tensors: dict[str, Any]) -> dict[str, np.ndarray]:
    inputs = []
    for name, cells in tensors.items():
        values = np.array([cell.encode() for cell in cells], object) if isinstance(cells, list) else cells
        kind = {"O": "BYTES", "f": f"FP{8 * values.dtype.itemsize}"}[values.dtype.kind]
        inputs.append(triton.InferInput(name, list(values.shape), kind))
        inputs[-1].set_data_from_numpy(values)
    with triton.InferenceServerClient(at.grpc) as client:
        result = client.infer(model, inputs)
    return {name: result.as_numpy(name) for name in MODELS[model]}


def by_epm(at: Running, model: str, request: v1.PredictRequest) -> dict[str, np.ndarray]:
    request.model.name = model
    with grpc.insecure_channel(at.grpc) as channel:
        response = prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    return outputs(response)


def typed(asked: Asked) -> v1.PredictRequest:
    request = v1.PredictRequest()
    for name, cells in asked.columns.items():
        column = request.columns.add(name=name)
        if isinstance(cells, list):
            column.strings.values.extend(cells)
        elif cells.ndim == 2:
            column.history.months = cells.shape[1]
            column.history.values.extend(cells.ravel())
        else:
            column.doubles.values.extend(cells)
    return request


def same(found: dict[str, np.ndarray], asked: Asked) -> None:
    assert set(found) == set(MODELS[asked.served.name])
    for name, values in found.items():
        assert np.array_equal(values, asked.expected[name]), name


def test_by_columns(at: Running, asked: Asked) -> None:
    same(by_tf_serving(at, asked.served.name, asked.columns), asked)
    same(by_triton(at, asked.served.name, asked.columns), asked)
    same(by_epm(at, asked.served.name, typed(asked)), asked)


def test_by_ready_tensors(at: Running, asked: Asked) -> None:
    same(by_tf_serving(at, asked.served.name, asked.ready), asked)
    same(by_triton(at, asked.served.name, asked.ready), asked)
    same(by_epm(at, asked.served.name, ready_request(asked.served.name, asked.ready)), asked)


def test_by_id(at: Running, asked: Asked) -> None:
    request = v1.PredictRequest()
    request.entities.entity_type, _ = "employee", request.entities.ids.extend(asked.ids)
    same(by_epm(at, asked.served.name, request), asked)
    by_id = {"entity_id": asked.ids}
    same(by_tf_serving(at, asked.served.name, by_id), asked)
    same(by_triton(at, asked.served.name, by_id), asked)


def test_regress_gives_six_months_and_classify_both(at: Running) -> None:
    served = load_version(REPOSITORY / "attrition_model" / "1")
    regression, classification = regression_pb2.RegressionRequest(), classification_pb2.ClassificationRequest()
    for request in (regression, classification):
        request.model_spec.name = "attrition_model"
        example = request.input.example_list.examples.add()
        example.features.feature["pay_ratio"].float_list.value.append(0.8)
        example.features.feature["monthly_overtime"].float_list.value.extend([40.0] * 12)
    expected = served.run(
        served.graph_tensors(
            served.program.run(
                served.schema.assemble(
                    {"pay_ratio": np.array([0.8], np.float32), "monthly_overtime": np.full((1, 12), 40.0)}, 1
                )
            )
        )
    )
    with grpc.insecure_channel(at.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        value = stub.Regress(regression, 30).result.regressions[0].value
        classes = stub.Classify(classification, 30).result.classifications[0].classes
    assert value == expected["probability_6m"][0]
    assert {one.label: one.score for one in classes} == {
        name: expected[name][0] for name in ("probability_3m", "probability_6m")
    }


def test_the_sample_of_months_is_scored(at: Running) -> None:
    sample = REPOSITORY.parent / "examples" / "months.csv"
    done = epm(
        "predict", sample, "--model", "attrition_model", "--month", "month", "--id", "employee",
        "--address", at.grpc, "--format", "csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, *lines = table_of(done.stdout)
    assert header[0] == "employee"
    assert len({line[0] for line in lines}) == len(lines) == 200


def table_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))
