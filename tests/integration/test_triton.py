"""A real Triton serves the model repository unchanged, and puts concurrent calls into one batch."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from exporters.formats import triton_config
from serving.contract import Contract
from tests.conftest import MODEL_REPO
from tests.support.triton import TritonServer, slowed

pytestmark = pytest.mark.integration
MODELS = ("performance_model", "attrition_model")
CALLERS = 32


def golden(model: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Ready tensors of the golden rows, and what the trained model answered."""
    with np.load(MODEL_REPO / model / "1" / "golden.npz") as arrays:
        given = {"features": arrays["features"]} | ({"history": arrays["window"]} if "window" in arrays else {})
        return given, {name[7:]: arrays[name] for name in arrays if name.startswith("output.")}


def ask(client: triton.InferenceServerClient, model: str, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of n rows, [n, 1] as [n]."""
    inputs = [
        triton.InferInput(name, list(values.shape), "FP32").set_data_from_numpy(values)
        for name, values in given.items()
    ]
    result = client.infer(model, inputs, client_timeout=30)
    answers = {tensor.name: result.as_numpy(tensor.name) for tensor in result.get_response().outputs}
    return {name: values[:, 0] if values.shape[1:] == (1,) else values for name, values in answers.items()}


@pytest.mark.parametrize("model", MODELS)
def test_the_golden_rows_of_every_model_come_back_right(model: str, triton_server: TritonServer) -> None:
    given, expected = golden(model)
    with triton_server.client() as client:
        assert client.is_model_ready(model)
        answers = ask(client, model, given)
    assert answers.keys() == expected.keys()
    for name, values in expected.items():
        assert answers[name].dtype == values.dtype
        np.testing.assert_allclose(answers[name], values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_its_metadata_names_the_tensors_of_the_contract(model: str, triton_server: TritonServer) -> None:
    contract = Contract.load(MODEL_REPO / model / "1" / "contract.json")
    with triton_server.client() as client:
        metadata = client.get_model_metadata(model)
    assert [(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in metadata.inputs] == [
        (tensor.name, "FP32", (-1, *tensor.shape)) for tensor in contract.tensors
    ]
    types = {"float32": "FP32", "int32": "INT32"}
    assert {tensor.name: (tensor.datatype, tuple(tensor.shape)) for tensor in metadata.outputs} == {
        name: (types[kind], (-1, *(shape or (1,)))) for name, (kind, shape) in contract.graph_outputs().items()
    }


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory):
    """A Triton whose every run takes 20 ms longer, so that calls meet in its queue."""
    with TritonServer(slowed(MODEL_REPO, tmp_path_factory.mktemp("slow") / "models", 20)) as running:
        yield running


def test_concurrent_calls_share_batches_and_each_gets_its_own_rows(slow: TritonServer) -> None:
    model, calls = "performance_model", 4
    given, expected = golden(model)

    def one(caller: int) -> bool:
        with slow.client() as client:
            rows = [(caller * calls + number) % len(given["features"]) for number in range(calls)]
            got = [ask(client, model, {name: values[row : row + 1] for name, values in given.items()}) for row in rows]
        probabilities = np.concatenate([answer["probabilities"] for answer in got])
        return np.allclose(probabilities, expected["probabilities"][rows], rtol=0, atol=1e-5)

    with ThreadPoolExecutor(CALLERS) as pool:
        assert all(pool.map(one, range(CALLERS)))
    with slow.client() as client:
        (statistics,) = client.get_inference_statistics(model).model_stats
    assert statistics.inference_count == CALLERS * calls
    assert statistics.execution_count < statistics.inference_count / 2
    assert max(batch.batch_size for batch in statistics.batch_stats) > 1


def test_a_paused_server_goes_on_and_a_killed_one_comes_back_on_the_same_port(tmp_path: Path) -> None:
    given, _ = golden("performance_model")
    row = {name: values[:1] for name, values in given.items()}
    with TritonServer(MODEL_REPO) as server:
        port = server.grpc_port
        server.pause()
        assert not server.is_ready()
        server.resume()
        with server.client() as client:
            assert ask(client, "performance_model", row)
        server.kill()
        assert not server.is_ready()
        server.start()
        assert server.grpc_port == port
        with server.client() as client:
            assert ask(client, "performance_model", row)
    assert list(Path("/dev/shm").glob(f"epm-triton-{server.grpc_port}-*")) == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with Triton's files as the exporter writes them now."""
    root = shutil.copytree(MODEL_REPO, tmp_path_factory.mktemp("exported") / "models")
    for model in MODELS:
        for name, text in triton_config.render(Contract.load(root / model / "1" / "contract.json")).items():
            (root / model / name).parent.mkdir(exist_ok=True)
            (root / model / name).write_text(text, "utf-8")
    return root


def test_what_the_exporter_writes_is_loaded_on_one_core_with_batching(exported: Path) -> None:
    with TritonServer(exported) as server, server.client() as client:
        for model in MODELS:
            config = client.get_model_config(model).config
            assert [(group.kind == group.KIND_CPU, group.count) for group in config.instance_group] == [(True, 1)]
            assert config.HasField("dynamic_batching")
            assert config.dynamic_batching.max_queue_delay_microseconds == 0
            assert config.parameters["intra_op_thread_count"].string_value == "1"


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="here it would be taken, not refused")
def test_the_variant_for_gpus_is_read_and_refused_only_because_there_is_none(exported: Path) -> None:
    with pytest.raises(RuntimeError) as refused, TritonServer(exported, model_config_name="gpu"):
        pass
    for model in MODELS:
        reason = f"instance group {model}_0 of model {model} has kind KIND_GPU but no GPUs are available"
        assert f"failed to load '{model}' version 1: Invalid argument: {reason}" in str(refused.value)
