"""`epm doctor` finds everything well where it is, and each thing that is wrong by name, with what to do about it."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import certifi
import onnx
import pytest

from serving.settings import jit_cache_root
from tests.conftest import MODEL_REPO
from tests.integration.commands import epm
from tests.support.gateways import gateway
from tests.support.metrics import scrape, total
from tests.support.models import write_version
from tests.support.ports import free_ports
from tests.support.redis import RedisServer
from tests.support.triton import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

PASSWORD = "-".join(("canary", "of", "redis"))
KEY = "00112233445566778899aabbccddeeff"
TOKEN = "-".join(("canary", "of", "the", "token"))
NOBODY = 65534
PATIENT = ("--timeout", 120, "--backend-timeout-seconds", 20, "--redis-timeout-seconds", 20)
"""On a machine that does other things as well."""
FREE = ("--grpc-port", 0, "--http-port", 0)


def doctor(*arguments, **environment):
    """Exit status and findings by check: (level, what was found, what to do)."""
    done = epm("doctor", "--json", *PATIENT, *arguments, timeout=240, **environment)
    assert "Traceback" not in done.stderr, done.stderr
    for secret in (PASSWORD, KEY, TOKEN):
        assert secret not in done.stdout + done.stderr
    told = json.loads(done.stdout)
    found = {}
    for one in told["checks"]:
        found.setdefault(one["check"], []).append((one["level"], one["found"], one["advice"]))
    levels = [level for findings in found.values() for level, _, _ in findings]
    assert {name: told[name] for name in ("ok", "warning", "failed")} == {
        name: levels.count(name) for name in ("ok", "warning", "failed")
    }
    assert done.returncode == (1 if "failed" in levels else 0)
    assert all(advice for findings in found.values() for level, _, advice in findings if level != "ok")
    return found


def only(check, *arguments, **environment):
    """The findings of one check: those that are not ok, and no other check was made."""
    found = doctor("--only", check, *arguments, **environment)
    assert list(found) == [check]
    return [finding for finding in found[check] if finding[0] != "ok"]


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Kernels are kept, as `make test` finds them or not."""
    done = epm("warm", timeout=1500)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def secrets(tmp_path):
    """Files as they should be: EPM_HASH_KEY_FILE and EPM_FACTS_TOKEN_FILE."""
    made = {"EPM_HASH_KEY_FILE": (tmp_path / "key", KEY), "EPM_FACTS_TOKEN_FILE": (tmp_path / "token", TOKEN)}
    for path, text in made.values():
        path.write_text(text)
        path.chmod(0o400)
    return {name: str(path) for name, (path, _) in made.items()}


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "models"
    write_version(root, "small", 1)
    write_version(root, "small", 2, seed=1)
    return root


@pytest.fixture(scope="module")
def redis():
    """For facts: with a password, and noeviction, which is Redis's default."""
    with RedisServer(requirepass=PASSWORD, maxmemory="64mb") as running:
        yield running


@pytest.fixture(scope="module")
def cache():
    with RedisServer(maxmemory="64mb", **{"maxmemory-policy": "allkeys-lru"}) as running:
        yield running


def _with_password(redis, password=PASSWORD, user=""):
    return redis.url.replace("redis://", f"redis://{user}:{password}@")


def test_a_good_installation_is_well_from_end_to_end_and_nothing_is_changed(redis, cache, secrets, tmp_path):
    jit = tmp_path / "jit"
    shutil.copytree(jit_cache_root() / _current(), jit / _current())
    urls = {"EPM_REDIS_URL": _with_password(redis), "EPM_CACHE_REDIS_URL": cache.url}
    before = _seen(jit)
    with redis.client() as facts, cache.client() as kept:
        found = doctor(*FREE, "--model-repo", MODEL_REPO, **urls, **secrets, EPM_JIT_CACHE_DIR=str(jit))
        assert facts.dbsize() == kept.dbsize() == 0, "nothing was written into Redis"
    assert _seen(jit) == before, "nothing was written into the folder of kernels"
    assert list(found) == [
        *("settings", "files", "limits", "listener", "ports", "jit", "repository", "redis", "backends")
    ]
    bad = [(check, *one) for check, findings in found.items() for one in findings if one[0] != "ok"]
    assert [one for one in bad if one[0] != "limits"] == [], "what this machine allows is not the tests' to say"
    assert "set: EPM_" in found["settings"][0][1]
    assert any(
        "performance_model version 1: digests, contract and golden rows" in one[1] for one in found["repository"]
    )
    assert [one[1] for one in found["redis"] if "its user may do all" in one[1]]
    assert any("it holds no facts yet" in one[1] for one in found["redis"])


def test_for_people_there_is_a_line_for_each_finding(small_repository):
    done = epm("doctor", *FREE, "--only", "ports,repository", "--only", "redis", "--model-repo", small_repository)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["ports", "ports", *["repository"] * 3, "redis"]
    assert lines[0].startswith("ok       ports       EPM_GRPC_PORT: 0, ")
    bad = epm("doctor", "--only", "repository", "--model-repo", "nowhere")
    assert bad.returncode == 1
    assert bad.stdout.startswith("FAILED   repository  EPM_MODEL_REPO: nowhere: No such file or directory; do: ")


@pytest.mark.parametrize(
    "arguments", [("--only", "everything"), ("--timeout", "0"), ("--timeout", "x"), ("--colour",), ("more",)]
)
def test_wrong_use_ends_with_2(arguments):
    done = epm("doctor", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "epm" in done.stderr


def test_a_setting_that_cannot_be_is_named_and_nothing_else_is_tried():
    (finding,) = only("settings", EPM_MAX_ROWS="canary")
    assert finding == ("failed", "EPM_MAX_ROWS: got 'canary', expected int", finding[2])
    assert "EPM_MAX_ROWS" in finding[2]


def test_ports_of_a_gateway_are_well_and_those_of_another_program_are_not(small):
    ports = dict(
        zip(("--grpc-port", "--http-port"), (at.split(":")[1] for at in (small.grpc, small.http)), strict=True)
    )
    found = doctor("--only", "ports", *(part for option in ports.items() for part in option))["ports"]
    assert [(level, "a gateway" in said, "ready" in said) for level, said, _ in found] == [("ok", True, True)] * 2
    swapped = only("ports", "--grpc-port", ports["--http-port"], "--http-port", ports["--grpc-port"])
    assert [level for level, _, _ in swapped] == ["failed"] * 2
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        for mine, free, name in (
            ("--grpc-port", "--http-port", "EPM_GRPC_PORT"),
            ("--http-port", "--grpc-port", "EPM_HTTP_PORT"),
        ):
            (finding,) = only("ports", mine, taken, free, 0)
            assert finding[:2] == ("failed", f"{name}: 127.0.0.1:{taken}: another program listens there")
            assert name in finding[2]


def test_a_gateway_that_is_not_ready_is_told_from_one_that_is(tmp_path):
    (tmp_path / "models").mkdir()
    with gateway(tmp_path / "models") as empty:
        ports = (at.split(":")[1] for at in (empty.grpc, empty.http))
        found = only("ports", "--grpc-port", next(ports), "--http-port", next(ports))
        assert [level for level, _, _ in found] == ["warning"] * 2
        assert all("not ready" in said for _, said, _ in found)
        assert total(scrape(empty), "epm_models_served") == 0


def test_an_address_that_is_not_of_this_machine_and_two_equal_ports_are_named():
    (finding, _) = only("ports", "--host", "192.0.2.1")
    assert (finding[0], "EPM_HOST" in finding[1]) == ("failed", True)
    (finding,) = only("ports", "--grpc-port", 8600, "--http-port", 8600)
    assert (finding[0], "EPM_HTTP_PORT" in finding[1]) == ("failed", True)


def test_the_library_of_the_compiled_listener_is_named_and_so_is_its_absence(tmp_path):
    assert only("listener") == []
    found = doctor("--only", "listener", EPM_LISTENER="h2")["listener"]
    assert [level for level, _, _ in found] == ["ok", "ok"]
    assert found[0][1].startswith("EPM_LISTENER: h2, by libnghttp2.so.14 1.")
    (tmp_path / "libnghttp2.so.14").touch()
    (finding,) = only("listener", EPM_LISTENER="h2", LD_LIBRARY_PATH=str(tmp_path))
    assert (finding[0], "h2 needs libnghttp2.so.14" in finding[1]) == ("failed", True)
    assert "apt-get install libnghttp2-14" in finding[2]


def test_memory_for_messages_in_which_the_largest_finds_no_room_is_a_warning():
    share = {"EPM_LISTENER": "h2", "EPM_MAX_MESSAGE_BYTES": "1000000", "EPM_MESSAGE_MEMORY_BYTES": "6000000"}
    assert only("listener", **share, EPM_LOOP_THREADS="2") == []
    (finding,) = only("listener", **share, EPM_LOOP_THREADS="3")
    assert (finding[0], "for each of 3 threads 2000000" in finding[1]) == ("warning", True)
    assert "3 times EPM_MAX_MESSAGE_BYTES" in finding[2]


def test_connections_of_the_compiled_listener_are_held_to_the_limit_of_open_files():
    (finding, *_) = only("limits", EPM_LISTENER="h2", EPM_MAX_CONNECTIONS="1000000", EPM_LOOP_THREADS="64")
    assert (finding[0], "EPM_MAX_CONNECTIONS allows 64000000" in finding[1]) == ("warning", True)


def test_a_damaged_file_is_named_and_what_is_served_instead(repository):
    model = repository / "small" / "2" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    (finding,) = only("repository", "--model-repo", repository)
    assert finding[0] == "failed"
    assert "small version 2 would be refused: model.onnx: its SHA-256" in finding[1]
    assert finding[1].endswith("version 1 is served instead")
    assert "small/2" in finding[2]


def test_what_is_damaged_but_too_old_to_be_served_is_a_warning(repository):
    (repository / "small" / "1" / "contract.json").write_text("{}")
    (finding,) = only("repository", "--model-repo", repository)
    assert finding[0] == "warning"
    assert "small version 1, which is not served: contract.json" in finding[1]


def test_golden_rows_that_are_answered_otherwise_are_found(repository):
    from tests.integration.publishing import reseal

    folder = repository / "small" / "2"
    shutil.copy(repository / "small" / "1" / "golden.npz", folder / "golden.npz")
    reseal(folder)
    (finding,) = only("repository", "--model-repo", repository)
    assert (finding[0], "golden rows" in finding[1]) == ("failed", True)


def test_a_label_of_a_version_that_is_not_there_and_a_setting_of_no_model_are_named(repository):
    (repository / "small" / "labels.json").write_text('{"stable": 7}')
    found = only("repository", "--model-repo", repository, "--cache", "auto;nobody=off")
    assert [level for level, _, _ in found] == ["warning", "failed"]
    assert "EPM_CACHE names nobody" in found[0][1]
    assert "the label stable stands for version 7" in found[1][1]


def test_labels_that_cannot_be_read_are_named(repository):
    (repository / "small" / "labels.json").write_text('{"stable": "one"}')
    (finding,) = only("repository", "--model-repo", repository)
    assert finding[0] == "failed"
    assert "small: labels.json: Expected `int`" in finding[1]


def test_a_repository_without_versions_is_named(tmp_path):
    (finding,) = only("repository", "--model-repo", tmp_path)
    assert (finding[0], "EPM_MODEL_REPO" in finding[2]) == ("failed", True)


def test_everybody_who_may_change_a_model_is_a_warning(repository):
    (repository / "small" / "2" / "model.onnx").chmod(0o666)
    (finding,) = only("repository", "--model-repo", repository)
    assert (finding[0], finding[1]) == ("warning", "everybody may change small/2/model.onnx")


def test_what_no_gateway_looks_at_is_not_examined(repository):
    """Such as `lost+found` in a volume of its own, which only root may read."""
    for name in ("lost+found", ".trash"):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "gone").symlink_to(repository / "nowhere")
    found = doctor("--only", "repository", "--model-repo", repository)["repository"]
    assert [(level, said.split(":")[0].split(",")[0]) for level, said, _ in found] == [
        ("ok", "small version 1"),
        ("ok", "small version 2"),
    ]


def test_models_that_cannot_be_read_are_no_defect_of_the_check_of_servers(tmp_path):
    asks = ("--model-repo", tmp_path / "nowhere", "--triton-address", "127.0.0.1:1")
    found = doctor("--only", "repository,backends", *asks)
    assert [level for level, _, _ in found["repository"]] == ["failed"]
    assert [(level, advice) for level, _, advice in found["backends"]] == [("warning", "see the check `repository`")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_that_the_user_who_serves_may_not_read_is_named_with_its_owner(repository):
    model = repository / "small" / "2" / "model.onnx"
    model.chmod(0o600)
    os.chown(model, NOBODY, NOBODY)
    rights = "--bounding-set=-dac_override,-dac_read_search"
    command = [sys.executable, "-m", "serving.cli", "doctor", "--only=repository"]
    done = subprocess.run(
        ["setpriv", rights, *command, f"--model-repo={repository}", "--timeout=120"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    first, *others = done.stdout.splitlines()
    assert f"user 0 may not read small/2/model.onnx, which belongs to user {NOBODY}, mode 0600; do: chown" in first
    assert any("small version 2 would be refused: model.onnx: Permission denied" in line for line in others)
    assert done.returncode == 1


def test_a_redis_that_is_down_is_named(cache, secrets):
    with RedisServer() as gone:
        url = gone.url
    (finding,) = only("redis", EPM_REDIS_URL=url, EPM_CACHE_REDIS_URL=cache.url, **secrets)
    assert finding[0] == "failed"
    assert finding[1].startswith(f"EPM_REDIS_URL {url.removeprefix('redis://')}: ")
    assert "EPM_REDIS_URL" in finding[2]


@pytest.mark.parametrize(("password", "reason"), [("wrong-one", "wrong user or password"), ("", "it wants a password")])
def test_a_wrong_password_is_named_and_not_told(password, reason, redis, secrets):
    url = _with_password(redis, password) if password else redis.url
    (finding,) = only("redis", EPM_REDIS_URL=url, **secrets)
    assert finding[:2] == ("failed", f"EPM_REDIS_URL 127.0.0.1:{redis.port}: {reason}")
    assert "EPM_REDIS_URL" in finding[2]
    assert "wrong-one" not in str(finding)


def test_a_user_without_the_rights_is_told_which_and_with_them_all_is_well(redis, cache, secrets):
    from serving.doctor.redis import RIGHTS

    allowed = "+hello +select +client|setname +info +multi +discard"
    for setting, server in (("EPM_REDIS_URL", redis), ("EPM_CACHE_REDIS_URL", cache)):
        with server.client() as admin:

            def user(name, rights, admin=admin):
                admin.execute_command("ACL", "SETUSER", name, "reset", "on", f">{PASSWORD}", *rights.split())

            user("good", f"{allowed} {RIGHTS[setting]}")
            user("reads", f"{allowed} ~* &* +mget +get +ping")
            user("elsewhere", f"{allowed} {RIGHTS[setting]} resetkeys ~other:*")
            user("silent", RIGHTS[setting].replace("+client|tracking", "") + " +hello +client|tracking +client|setname")
        found = {
            name: only("redis", **{setting: _with_password(server, user=name)}, **secrets)
            for name in ("good", "reads", "elsewhere", "silent")
        }
        assert found["good"] == []
        for name in ("reads", "elsewhere"):
            (finding,) = found[name]
            assert (finding[0], "SET (not allowed)" in finding[1]) == ("failed", True), finding
            assert RIGHTS[setting] in finding[2]
        (finding,) = found["silent"]
        assert (finding[0], "without writing" in finding[1]) == ("warning", True)
        with server.client() as admin:
            assert admin.dbsize() == 0


def test_the_rights_that_are_told_are_enough_for_a_gateway(small_repository, redis, cache, secrets):
    from serving.doctor.redis import RIGHTS

    urls = {}
    for setting, server in (("redis_url", redis), ("cache_redis_url", cache)):
        rights = f"{RIGHTS[f'EPM_{setting.upper()}']} +hello +client|setname".split()
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "least", "reset", "on", f">{PASSWORD}", *rights)
        urls[setting] = _with_password(server, user="least")
    files = {name.removeprefix("EPM_").lower(): path for name, path in secrets.items()}
    with gateway(small_repository, cache="redis", **urls, **files) as running:
        for name in ("epm_store_up", "epm_cache_redis_up"):
            assert total(scrape(running), name) == 1, "".join(running.log)
        found = epm(
            "facts", "get", "--id", "nobody", "--address", running.grpc, "--token-file", files["facts_token_file"]
        )
        assert "nothing is stored" in found.stderr
        assert found.returncode == 1


def test_redis_of_another_key_and_policies_that_lose_what_must_stay_are_named(secrets, tmp_path, small_repository):
    policy = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}
    with RedisServer(**policy) as server:
        (finding,) = only("redis", EPM_REDIS_URL=server.url, **secrets)
        assert (finding[0], "noeviction" in finding[2]) == ("failed", True)
        other = tmp_path / "other"
        other.write_text(KEY[::-1])
        with gateway(small_repository, redis_url=server.url, hash_key_file=other):
            pass
        found = only("redis", EPM_REDIS_URL=server.url, **secrets)
        assert [said for _, said, _ in found][1].endswith("its data belong to gateways with another key")
        assert "EPM_HASH_KEY_FILE" in found[1][2]
    with RedisServer() as server:
        found = only("redis", EPM_REDIS_URL=server.url, EPM_CACHE_REDIS_URL=server.url, **secrets)
        assert [level for level, _, _ in found] == ["warning"] * 3
        assert "a Redis of their own" in found[2][2]


def test_a_replica_and_a_full_redis_are_named(redis, secrets):
    with RedisServer(replicaof=f"127.0.0.1 {redis.port}", masterauth=PASSWORD, maxmemory="64mb") as replica:
        (finding,) = only("redis", EPM_REDIS_URL=replica.url, **secrets)
    assert (finding[0], "read-only replica" in finding[1], "master" in finding[2]) == ("failed", True, True)
    with RedisServer(maxmemory="1mb") as full, full.client() as client:
        client.config_set("maxmemory", "1")
        found = only("redis", EPM_REDIS_URL=full.url, **secrets)
    assert any("it is full" in said and level == "failed" for level, said, _ in found)


def test_key_and_token_that_are_missing_wrong_or_open_to_everybody_are_named(secrets, tmp_path):
    assert only("files", **secrets) == []
    for name, path in secrets.items():
        at = Path(path)
        at.chmod(0o444)
        (finding,) = only("files", **secrets)
        assert (finding[0], name in finding[1], finding[2]) == ("failed", True, f"chmod 0440 {path}")
        at.chmod(0o600)
        at.write_text("short")
        (finding,) = only("files", **secrets)
        assert (finding[0], name in finding[1], name in finding[2]) == ("failed", True, True)
        at.unlink()
        (finding,) = only("files", **secrets)
        assert (finding[0], name in finding[1], "No such file" in finding[1]) == ("failed", True, True)
        secrets = {other: path for other, path in secrets.items() if other != name}
    assert only("redis", EPM_REDIS_URL="redis://127.0.0.1:1", EPM_HASH_KEY_FILE=str(tmp_path / "none"))


def test_certificates_that_are_none_are_named(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    at = {"EPM_TRITON_ADDRESS": "grpcs://127.0.0.1:1", "EPM_BACKEND_CA_FILE": str(tmp_path / "ca.pem")}
    at["EPM_BACKENDS"] = "onnxruntime,triton"
    for check in ("files", "backends"):
        (finding,) = only(check, **at)
        assert (finding[0], "EPM_BACKEND_CA_FILE" in finding[1]) == ("failed", True)


def test_good_certificates_beside_a_wrong_address_are_not_blamed(tmp_path):
    at = {"EPM_TRITON_ADDRESS": "grpcs://here:and:there", "EPM_BACKEND_CA_FILE": certifi.where()}
    assert not only("files", **at)
    (finding,) = only("backends", **at)
    assert (finding[0], "EPM_TRITON_ADDRESS" in finding[1]) == ("failed", True)


def test_a_model_server_is_asked_for_the_golden_rows_at_each_of_its_addresses(triton_server):
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    to_triton = ("--model-repo", MODEL_REPO, "--backends", "triton,onnxruntime", "--triton-address")
    found = doctor("--only", "backends", *to_triton, triton_server.grpc)["backends"]
    assert [(level, "golden rows rightly" in said) for level, said, _ in found] == [("ok", True)] * 2
    found = doctor("--only", "backends", *to_triton, f"{triton_server.grpc},{dead}")["backends"]
    assert sorted(level for level, _, _ in found) == ["failed"] * 2 + ["ok"] * 2
    refused = [one for one in found if one[0] == "failed"]
    assert all(dead in said and "refused" in said and "EPM_TRITON_ADDRESS" in advice for _, said, advice in refused)
    found = doctor("--only", "backends", *to_triton, triton_server.http)["backends"]
    assert [level for level, _, _ in found] == ["failed"] * 2
    found = doctor("--only", "backends", *to_triton, "no-such-host.invalid:8001")["backends"]
    assert all(level == "failed" and "has no address" in said for level, said, _ in found)


def test_a_model_server_with_other_models_is_named(tmp_path, triton_server):
    mine = tmp_path / "mine"
    write_version(mine, "small", 1)
    asks = ("--backends", "triton", "--triton-address")
    (finding,) = only("backends", "--model-repo", mine, *asks, triton_server.grpc)
    assert (finding[0], "does not serve this version" in finding[1]) == ("failed", True)
    (finding,) = only("backends", "--model-repo", mine, "--triton-address", triton_server.grpc)
    assert (finding[0], "no model is executed at EPM_TRITON_ADDRESS" in finding[1]) == ("warning", True)


def test_a_model_server_with_another_artifact_under_the_same_number_is_named(tmp_path):
    model = tmp_path / "performance_model"
    shutil.copytree(MODEL_REPO / model.name, model)
    graph = onnx.load(model / "1" / "model.onnx")
    for attribute in [one for node in graph.graph.node for one in node.attribute if one.name.endswith("_weights")]:
        attribute.floats[:] = [1.25 * weight for weight in attribute.floats]
    onnx.save(graph, model / "1" / "model.onnx")
    asks = ("--model-repo", MODEL_REPO, "--backends", "onnxruntime;performance_model=triton", "--triton-address")
    with TritonServer(tmp_path) as wrong:
        (finding,) = only("backends", *asks, wrong.grpc)
    assert (finding[0], "it answered wrongly: golden rows" in finding[1]) == ("failed", True)
    assert "the same files" in finding[2]


def test_kernels_that_are_not_kept_are_a_warning_and_an_open_folder_is_a_failure(tmp_path, repository):
    folder = tmp_path / "jit"
    found = doctor("--only", "jit,repository", "--model-repo", repository, EPM_JIT_CACHE_DIR=str(folder))
    ((level, said, advice),) = found["jit"]
    assert (level, "is not there" in said, "epm warm" in advice) == ("warning", True, True)
    assert [one[0] for one in found["repository"]] == ["ok", "ok", "warning"], "digests are held to the files anyway"
    assert not folder.exists()
    made = folder / _current()
    made.mkdir(parents=True)
    made.chmod(0o777)
    (finding,) = only("jit", EPM_JIT_CACHE_DIR=str(folder))
    assert (finding[0], "everybody may write into it" in finding[1]) == ("failed", True)
    assert "EPM_JIT_CACHE_DIR" in finding[2]
    made.chmod(0o755)
    (finding,) = only("jit", EPM_JIT_CACHE_DIR=str(folder))
    assert (finding[0], "not filled for this processor" in finding[1]) == ("warning", True)
    assert list(made.iterdir()) == []


def test_a_check_that_takes_too_long_is_left_and_the_others_are_told(secrets):
    with RedisServer() as server:
        server.pause()
        found = doctor("--only", "redis,files", "--timeout", 2, EPM_REDIS_URL=server.url, **secrets)
        server.resume()
    assert [level for level, _, _ in found["files"]] == ["ok"] * 2
    assert [level for level, _, _ in found["redis"]] == ["failed"]


def _current():
    from serving.jit import fingerprint

    return f"kernels-{fingerprint()}"


def _seen(folder):
    """What a folder and all in it looks like, times of change included."""
    seen = {path: path.lstat() for path in (folder, *folder.rglob("*"))}
    return {path: (stat.S_IMODE(at.st_mode), at.st_size, at.st_mtime_ns) for path, at in seen.items()}
