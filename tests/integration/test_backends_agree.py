"""The same 1,000 rows through every backend that can take them: 1e-5, and no label flips."""

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from serving.repository.served import ServedModel
from tests.support import published
from tests.support.asking import ask_ready
from tests.support.gateways import Running, gateway
from tests.support.metrics import sample, until
from tests.support.tf_serving_reference import TfServingReference
from tests.support.triton import TritonServer

pytestmark = pytest.mark.integration

PEOPLE, SEED, TOLERANCE = 1000, 23, 1e-5
BACKENDS = ("forest", "onnxruntime", "triton", "tf_serving")
OF_ATTRITION = BACKENDS[1:]


@pytest.fixture(scope="module")
def servers(triton_server: TritonServer, tf_serving_reference: TfServingReference) -> dict[str, str]:
    """Where the gateways find them."""
    return {"triton_address": triton_server.grpc, "tf_serving_address": tf_serving_reference.grpc}


@pytest.fixture(scope="module")
def gateways(servers: dict[str, str]) -> Iterator[dict[str, Running]]:
    """A gateway for each backend, with no other backend to fall back to, and no cache."""
    with ExitStack() as opened:
        yield {
            name: opened.enter_context(gateway(published.REPOSITORY, backends=name, cache="off", **servers))
            for name in BACKENDS
        }


@pytest.fixture(scope="module", params=["performance_model", "attrition_model"])
def asked(request: pytest.FixtureRequest) -> tuple[ServedModel, dict[str, np.ndarray]]:
    return published.graph_inputs(request.param, PEOPLE, SEED)


def test_all_backends_give_the_same_answers(
    gateways: dict[str, Running], asked: tuple[ServedModel, dict[str, np.ndarray]]
) -> None:
    served, ready = asked
    names = BACKENDS if served.name == "performance_model" else OF_ATTRITION
    answers = {name: ask_ready(gateways[name].grpc, served.name, ready) for name in names}
    expected = answers.pop("onnxruntime")
    label = served.decision.label
    for name, got in answers.items():
        for output, values in expected.items():
            if output == label:
                assert np.array_equal(got[output], values), name
            else:
                assert np.abs(got[output] - values).max() <= TOLERANCE, (name, output)
        calls = sample(gateways[name], "epm_backend_rows_total", model=served.name, version="1", backend=name)
        assert calls == PEOPLE


def test_a_model_that_forest_does_not_support_says_so_and_is_served_by_onnxruntime(
    gateways: dict[str, Running],
) -> None:
    log = "".join(gateways["forest"].log)
    assert "model attrition_model: forest does not support it" in log
    assert "model attrition_model version 1 is served by onnxruntime (cpu)" in log
    assert "model performance_model version 1 is served by forest (cpu)" in log


def test_a_shadow_is_asked_beside_the_callers_and_agrees(servers: dict[str, str]) -> None:
    served, ready = published.graph_inputs("performance_model", 64, SEED)
    options = {"shadow_backend": "performance_model=triton", "shadow_fraction": 1.0, **servers}
    with gateway(published.REPOSITORY, **options) as at:
        ask_ready(at.grpc, served.name, ready)
        by = {"model": served.name, "version": "1", "backend": "triton", "outcome": "agreed"}
        assert until(lambda: sample(at, "epm_shadow_rows_total", **by) >= 64)
        assert not sample(at, "epm_shadow_rows_total", **by | {"outcome": "disagreed"})
