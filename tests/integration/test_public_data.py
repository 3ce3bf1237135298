"""`performance_inx`: trained on public data, published, served, asked. Skipped where ../shared/data is absent."""

import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.contract import Contract
from tests.support.gateways import gateway

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "inx_employee_performance.csv"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not DATA.is_file(), reason="../shared/data/inx_employee_performance.csv is not there"),
]


@pytest.mark.slow
def test_the_public_table_becomes_a_model_that_answers_without_protected_attributes(tmp_path: Path) -> None:
    train = [sys.executable, "-m", "exporters.cli", "train", "--dataset", "inx", "--data-dir", DATA.parent]
    subprocess.run([*train, "--repository", tmp_path], check=True, capture_output=True)
    card = (tmp_path / "performance_inx" / "1" / "card.md").read_text("utf-8")
    assert "| without protected attributes and salary rise: what is published |" in card
    contract = Contract.load(tmp_path / "performance_inx" / "1" / "contract.json")
    left_out = {"Age", "Gender", "MaritalStatus", "EmpLastSalaryHikePercent"}
    assert {left.name for left in contract.left_out} == left_out
    assert not left_out & {raw.name for raw in contract.inputs}
    with gateway(tmp_path) as running:
        ask = [sys.executable, "-m", "serving.cli", "predict", DATA, "--model=performance_inx", "--id=EmpNumber"]
        done = subprocess.run(
            [*ask, f"--address={running.grpc}", "--format=csv"], check=True, capture_output=True, text=True
        )
        stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(running.grpc))
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "performance_inx"
        request.inputs["Age"].double_val.append(40)
        request.inputs["Age"].dtype = 2
        request.inputs["Age"].tensor_shape.dim.add().size = 1
        with pytest.raises(grpc.RpcError) as refusal:
            stub.Predict(request, 10.0)
    header, *rows = done.stdout.splitlines()
    assert header.startswith("EmpNumber,grade,P(A),P(B),P(C)")
    assert len(rows) == 1200
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Age: got an unknown column" in refusal.value.details()
    assert "Age" in done.stderr, "what the model does not take is said"
