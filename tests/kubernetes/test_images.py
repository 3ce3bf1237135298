"""The Dockerfile names what is there, and says what the program takes; models are copied whole or not at all."""

import contextlib
import fnmatch
import json
import re
import shutil
import subprocess
import sys
import urllib.error
from dataclasses import fields

import pytest

from serving.settings import OTHER_VARIABLES, Settings, environment_name
from serving.version import __version__
from tests.conftest import MODEL_REPO
from tests.kubernetes.manifests import ROOT, named, workload, workloads
from tests.kubernetes.program import dockerfile, epm_flags, image_environment, status
from tests.support.metrics import until
from tests.support.ports import free_ports
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

COPY_MODELS = ROOT / "k8s" / "copy_models.sh"


def copied():
    """Files of the repository that the Dockerfile copies."""
    lines = re.findall(r"^COPY (?!--from)(.*)$", dockerfile(), re.M)
    return [path for line in lines for path in line.split()[:-1]]


def test_what_is_copied_is_there_and_is_not_kept_from_the_builder():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert copied()
    for path in copied():
        assert (ROOT / path).exists()
        assert any(fnmatch.fnmatch(path, pattern) for pattern in allowed), path


def test_secrets_and_whatever_else_lies_here_do_not_reach_the_builder():
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    assert "secret" not in dockerfile().lower()


def test_the_image_says_what_the_program_takes(program):
    known = {environment_name(knob.name) for knob in fields(Settings)} | OTHER_VARIABLES
    environment = image_environment()
    assert {name for name in environment if name.startswith("EPM_")} <= known
    (ports,) = re.findall(r"^EXPOSE (.*)$", dockerfile(), re.M)
    assert ports.split() == [str(Settings().grpc_port), str(Settings().http_port)]
    assert '\nENTRYPOINT ["epm", "serve"]\n' in dockerfile()
    assert "\nUSER 65532:65532\n" in dockerfile()
    assert "\nSTOPSIGNAL SIGTERM\n" in dockerfile()
    (probe,) = re.findall(r"^HEALTHCHECK .* CMD (.*)$", dockerfile(), re.M)
    assert program.answers(re.search(r"'(/\w+)'", probe)[1])
    assert f"'{Settings().http_port}'" in probe
    assert epm_flags() >= {"grpc-port", "http-port"}


def test_the_health_check_of_the_image_tells_a_ready_gateway_from_none(program):
    (probe,) = re.findall(r"^HEALTHCHECK .* CMD (.*)$", dockerfile(), re.M)
    command = [sys.executable, *json.loads(probe)[1:]]
    for port, status_of in ((program.address.partition(":")[2], 0), (str(free_ports(1)[0]), 1)):
        environment = {"EPM_HTTP_PORT": port}
        assert subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, timeout=60).returncode == status_of


def test_kernels_are_looked_for_where_and_for_the_processor_that_they_were_made_for():
    environment = image_environment()
    warmed = re.search(r"EPM_JIT_CACHE_DIR=(\S+)\s+\S+/epm warm", dockerfile())[1]
    assert environment["EPM_JIT_CACHE_DIR"] == warmed
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        assert environment[name] == f'"${{{name}}}"'
        assert len(set(re.findall(rf"^ARG {name}=(.*)$", dockerfile(), re.M))) == 1


def test_the_tag_in_the_cluster_is_the_version(base):
    assert workload(base, "gateway").main["image"] == f"epm-gateway:{__version__}"
    (models,) = {one.pod["initContainers"][0]["image"] for one in workloads(base) if "initContainers" in one.pod}
    assert models == f"epm-models:{__version__}"
    told = re.findall(r"epm-(?:gateway|models):([\d.]+)", (ROOT / "docs" / "kubernetes.md").read_text("utf-8"))
    assert set(told) == {__version__}


def test_the_gateway_finds_the_models_where_the_image_looks_for_them(base):
    mounts = {mount["name"]: mount["mountPath"] for mount in workload(base, "gateway").main["volumeMounts"]}
    assert mounts["models"] == image_environment()["EPM_MODEL_REPO"]


def copy(source, target):
    """Run what the image `epm-models` runs."""
    target.mkdir()
    return subprocess.run(["sh", COPY_MODELS, target, source], capture_output=True, text=True, timeout=60)


def test_a_model_repository_is_copied_whole(tmp_path):
    done = copy(MODEL_REPO, tmp_path / "models")
    assert done.returncode == 0, done.stderr
    files = {path.relative_to(MODEL_REPO) for path in MODEL_REPO.rglob("*") if path.is_file()}
    assert {
        path.relative_to(tmp_path / "models") for path in (tmp_path / "models").rglob("*") if path.is_file()
    } == files
    versions = len(list(MODEL_REPO.glob("*/*/SHA256SUMS")))
    assert done.stdout == f"{versions} versions, every digest is right\n"


@pytest.mark.parametrize("file", ["attrition_model/1/model.onnx", "performance_model/config.pbtxt"])
def test_a_damaged_file_ends_the_copy_with_its_version_named(tmp_path, file):
    shutil.copytree(MODEL_REPO, tmp_path / "source")
    path = tmp_path / "source" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = copy(tmp_path / "source", tmp_path / "models")
    assert done.returncode == 1
    assert f"{file.split('/')[0]}/1/: what was copied is not what SHA256SUMS says" in done.stderr


def test_a_repository_on_a_volume_is_checked_where_it_is(tmp_path):
    shutil.copytree(MODEL_REPO, tmp_path / "volume")
    command = ["sh", COPY_MODELS, tmp_path / "volume", tmp_path / "volume"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    (tmp_path / "volume" / "attrition_model" / "1" / "contract.json").write_text("{}")
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 1


def test_a_version_without_digests_and_a_repository_without_versions_end_the_copy(tmp_path):
    (tmp_path / "source" / "model" / "1").mkdir(parents=True)
    done = copy(tmp_path / "source", tmp_path / "first")
    assert (done.returncode, done.stderr) == (1, "model/1/: no SHA256SUMS, expected one in every version\n")
    (tmp_path / "source" / "model" / "1").rmdir()
    done = copy(tmp_path / "source", tmp_path / "second")
    assert done.returncode == 1
    assert "no version of any model" in done.stderr


def test_redis_takes_its_configuration(tmp_path, base):
    redis = workload(base, "redis")
    data = named(base, "ConfigMap", redis.volumes["conf"]["configMap"]["name"])["data"]["redis.conf"]
    lines = [line for line in data.splitlines() if line.split(None, 1)[:1] not in (["dir"], ["bind"], ["port"])]
    (tmp_path / "redis.conf").write_text("\n".join([f"dir {tmp_path}", *lines]))
    with RedisServer(include=str(tmp_path / "redis.conf")) as server, server.client() as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert int(client.config_get("maxmemory")["maxmemory"]) == 1 << 30


def test_redis_cli_has_the_flags_of_the_probes(base):
    redis = workload(base, "redis")
    said = subprocess.run(["redis-cli", "--help"], capture_output=True, text=True, timeout=30)
    probes = [redis.main[probe]["exec"]["command"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    flags = {word for command in probes for word in command if word.startswith("-")}
    assert flags
    assert flags <= set(re.findall(r"^\s+(-\w+)", said.stdout + said.stderr, re.M))


def test_triton_answers_the_paths_of_its_probes(base, triton_server):
    triton = workload(base, "triton")
    paths = {triton.main[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert all(until(lambda path=path: _answers(triton_server.http, path), 60) for path in paths)


def _answers(address, path):
    """Whether it says 200 now; Triton's HTTP port opens a little after its gRPC port says ready."""
    with contextlib.suppress(urllib.error.URLError):
        return status(address, path) == 200
    return False


def test_tf_serving_is_asked_for_a_model_that_it_has(base, program):
    tf_serving = workload(base, "tf-serving")
    path = tf_serving.main["readinessProbe"]["httpGet"]["path"]
    assert f'name: "{path.rpartition("/")[2]}"' in (MODEL_REPO / "models.config").read_text()
    assert status(program.address, path) == 200, "the gateway speaks the same REST"
