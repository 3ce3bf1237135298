"""compose.yaml: valid, closed, and the cluster's images, commands and files; each check finds its mistakes."""

import copy
import inspect
import re
import subprocess
import sys

import pytest
import yaml

from tests.kubernetes import checks_of_compose as checks
from tests.kubernetes.manifests import ROOT
from tests.kubernetes.program import compose

pytestmark = pytest.mark.integration

CHECKS = (checks.hardened, checks.files, checks.as_in_the_cluster, checks.settings)


def run(check, compose, base):
    return check(compose, base) if "base" in inspect.signature(check).parameters else check(compose)


def test_compose_has_the_shape_of_the_specification():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_compose_is_right(check, base):
    assert run(check, compose(), base) == []


MISTAKES = {
    "root": (checks.hardened, "may run as root", lambda s: s["triton"].pop("user")),
    "a file system that is written": (checks.hardened, "read_only", lambda s: s["redis"].update(read_only=False)),
    "no bounds": (checks.hardened, "no mem_limit", lambda s: s["gateway"].pop("mem_limit")),
    "more processors than there are": (checks.hardened, "does not start it", lambda s: s["gateway"].update(cpus=3)),
    "no health check": (checks.hardened, "no healthcheck", lambda s: s["redis"].pop("healthcheck")),
    "a port for everybody": (checks.hardened, "open to the network", lambda s: s["redis"].update(ports=["1:6379"])),
    "a file that is not there": (
        checks.files,
        "redis.config",
        lambda s: s["redis"]["volumes"].append("redis.config:/x"),
    ),
    "another image": (checks.as_in_the_cluster, "runs redis:6.0", lambda s: s["redis"].update(image="redis:6.0")),
    "another command": (checks.as_in_the_cluster, "is called", lambda s: s["tf-serving"]["command"].pop()),
    "a port of nobody": (
        checks.as_in_the_cluster,
        "no port 80",
        lambda s: s["gateway"].update(ports=["127.0.0.1:80:80"]),
    ),
    "a secret elsewhere": (checks.settings, "hash-key", lambda s: s["gateway"]["secrets"][0].update(target="/x")),
    "a server of another name": (checks.settings, "triton:8001", lambda s: s.update(triton2=s.pop("triton"))),
    "too little time to leave": (checks.settings, "to leave", lambda s: s["gateway"].update(stop_grace_period="20s")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_compose_is_found(mistake, base):
    check, says, make = MISTAKES[mistake]
    changed = copy.deepcopy(compose())
    make(changed["services"])
    assert any(says in said for said in run(check, changed, base))


def test_the_health_check_of_tf_serving_finds_a_served_model(program):
    """Asked of the gateway, which speaks the same REST."""
    _, *command = compose()["services"]["tf-serving"]["healthcheck"]["test"]
    assert "127.0.0.1/8501" in command[-1]
    command[-1] = command[-1].replace("127.0.0.1/8501", program.address.replace(":", "/"))
    assert subprocess.run(command, timeout=60).returncode == 0
    command[-1] = command[-1].replace("attrition_model", "no_model")
    assert subprocess.run(command, timeout=60).returncode == 1


def test_prometheus_scrapes_the_gateway_and_reads_the_rules_where_they_are_mounted(program):
    service = compose()["services"]["prometheus"]
    mounted = dict(volume.split(":")[1::-1] for volume in service["volumes"])
    (config,) = (word.partition("=")[2] for word in service["command"] if word.startswith("--config.file="))
    told = yaml.safe_load((ROOT / mounted[config]).read_text("utf-8"))
    targets = {target for job in told["scrape_configs"] for one in job["static_configs"] for target in one["targets"]}
    assert "gateway:8501" in targets
    assert all(program.answers(job.get("metrics_path", "/metrics")) for job in told["scrape_configs"])
    for pattern in told["rule_files"]:
        folder, _, names = pattern.rpartition("/")
        path = folder if folder.startswith("/") else f"/etc/prometheus/{folder}"
        assert list((ROOT / mounted[path]).glob(names)), pattern


def test_prometheus_keeps_what_rules_and_dashboards_look_back_at():
    monitoring = ROOT / "k8s" / "monitoring"
    asked = [*(monitoring / "rules").glob("*.yaml"), *(monitoring / "dashboards").glob("*.json")]
    days = {"d": 1, "w": 7}
    windows = re.findall(r"(?:\[|offset )(\d+)([dw])\b", " ".join(path.read_text("utf-8") for path in asked))
    (kept,) = (
        word.partition("=")[2] for word in compose()["services"]["prometheus"]["command"] if "retention.time" in word
    )
    longest = max(int(number) * days[unit] for number, unit in windows)
    assert longest == 30
    assert int(kept.removesuffix("d")) > longest
    assert f"at least {longest} days" in (ROOT / "docs" / "kubernetes.md").read_text("utf-8")


def test_grafana_finds_what_is_mounted_for_it():
    service = compose()["services"]["grafana"]
    mounted = dict(volume.split(":")[1::-1] for volume in service["volumes"])
    provisioning = ROOT / mounted["/etc/grafana/provisioning"]
    providers = [yaml.safe_load(path.read_text("utf-8")) for path in (provisioning / "dashboards").glob("*.yaml")]
    folders = {one["options"]["path"] for told in providers for one in told["providers"]}
    assert folders
    assert all(list((ROOT / mounted[folder]).glob("*.json")) for folder in folders)
    sources = [yaml.safe_load(path.read_text("utf-8")) for path in (provisioning / "datasources").glob("*.yaml")]
    assert {one["url"] for told in sources for one in told["datasources"]} == {"http://prometheus:9090"}
