"""What `kubectl kustomize` makes of each overlay is valid, closed, complete, and fits the program that it runs."""

import inspect
import os
import re

import pytest

from tests.kubernetes import checks_of_network, checks_of_program, checks_of_shape, checks_of_times
from tests.kubernetes.manifests import OVERLAYS, ROOT, of_kind, render, workload, workloads

pytestmark = pytest.mark.integration

CHECKS = (
    checks_of_shape.schema,
    checks_of_shape.hardening,
    checks_of_shape.references,
    checks_of_shape.replicas,
    checks_of_shape.monitoring,
    checks_of_program.settings,
    checks_of_program.ports_and_paths,
    checks_of_program.flags,
    checks_of_program.images,
    checks_of_times.drain,
    checks_of_times.resources,
    checks_of_network.flows,
)


def run(check, manifests, program):
    """What the check finds; some ask the running gateway."""
    return check(manifests, program) if "program" in inspect.signature(check).parameters else check(manifests)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_right(overlay, check, rendered, program):
    assert run(check, rendered[overlay], program) == []


def test_each_overlay_has_what_it_needs_and_no_more(rendered):
    names = {overlay: {one.name for one in workloads(rendered[overlay])} for overlay in OVERLAYS}
    assert names == {
        "cpu": {"gateway", "redis", "tf-serving"},
        "gpu": {"gateway", "redis", "triton"},
        "dev": {"gateway", "redis"},
    }


def test_where_people_depend_on_it_there_are_budget_scaler_and_spread(rendered):
    for overlay in ("cpu", "gpu"):
        kinds = {one["kind"] for one in rendered[overlay]}
        assert kinds >= {
            "PodDisruptionBudget",
            "HorizontalPodAutoscaler",
            "NetworkPolicy",
            "ServiceMonitor",
            "PrometheusRule",
        }
        (gateway,) = (one for one in workloads(rendered[overlay]) if one.name == "gateway")
        assert {one["topologyKey"] for one in gateway.pod["topologySpreadConstraints"]} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }


def test_the_gpu_overlay_asks_triton_for_the_lstm_first_and_gives_it_a_gpu(rendered):
    assert checks_of_program.settings_of(rendered["gpu"]).chosen("backends", "attrition_model") == (
        "triton",
        "onnxruntime",
    )
    (triton,) = (one for one in workloads(rendered["gpu"]) if one.name == "triton")
    assert triton.main["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert triton.flag("model-config-name") == "gpu"


def test_a_headless_service_gives_clients_every_gateway(rendered):
    for overlay in OVERLAYS:
        (service,) = (one for one in rendered[overlay] if one["metadata"]["name"] == "gateway-headless")
        assert service["spec"]["clusterIP"] == "None"


def test_every_metric_that_a_rule_names_is_in_the_gateways_exposition(rendered, program):
    groups = [group for rules in of_kind(rendered["cpu"], "PrometheusRule") for group in rules["spec"]["groups"]]
    texts = [str(rule["expr"]) for group in groups for rule in group["rules"]]
    named = {name for text in texts for name in re.findall(r"(?<![\w:])epm_\w+(?![\w:])", text)}
    assert named
    assert named <= program.metrics


def test_models_from_a_volume_are_checked_as_the_docs_say(tmp_path):
    (text,) = re.findall(r"```yaml\n(patches:\n.*?)```", (ROOT / "docs" / "kubernetes.md").read_text("utf-8"), re.S)
    base = os.path.relpath(ROOT / "k8s" / "base", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{base}]\n{text}")
    manifests = render(tmp_path)
    assert checks_of_shape.schema(manifests) == []
    assert checks_of_shape.references(manifests) == []
    for name in ("gateway", "triton", "tf-serving"):
        pod = workload(manifests, name).pod
        (models,) = (volume for volume in pod["volumes"] if volume["name"] == "models")
        assert models == {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
        assert pod["initContainers"][0]["command"] == ["copy-models", "/target", "/target"]
        assert pod["initContainers"][0]["image"].startswith("epm-models:")


def test_the_secret_that_the_docs_make_is_the_one_that_gateways_mount(rendered):
    text = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    ((name, files),) = re.findall(r"create secret generic (\S+) (.*)$", text, re.M)
    made = set(re.findall(r"--from-file=k8s/secrets/(\S+)", files))
    for overlay in OVERLAYS:
        secret = workload(rendered[overlay], "gateway").volumes["secrets"]["secret"]
        assert (secret["secretName"], {item["key"] for item in secret["items"]}) == (name, made)
