"""What callers send of people stays with them: marked values leave no trace in anything that outlives a call."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from serving.jit import fingerprint
from serving.settings import jit_cache_root
from tests.support.gateways import Running
from tests.support.marked_traffic import FACTS, over_commands, over_grpc, over_http, put
from tests.support.marked_traffic import erase as erase_request
from tests.support.marks import DEPARTMENT, FORMS, PERSON, SALARY, TOKEN, marked_files, marks_in
from tests.support.metrics import until
from tests.support.models import NUMBERS, write_version
from tests.support.redis import RedisServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
AUTHORITY = (("authorization", f"Bearer {TOKEN}"),)


@dataclass
class Place:
    """A gateway with folders and both Redis of its own, and all that it has written anywhere."""

    folder: Path
    running: Running
    redis: RedisServer
    cache: RedisServer
    out: list[str] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)
    names: set[bytes] = field(default_factory=set)
    """Of keys in either Redis, at any time that was looked at."""
    kept: set[bytes] = field(default_factory=set)
    """Values of the prediction cache."""

    @property
    def written(self) -> list[Path]:
        """Folders that the gateway may write to; what the test itself writes with marks is elsewhere."""
        return [self.folder / name for name in ("work", "home", "temporary", "jit", "models")]

    def look(self) -> None:
        """Remember what metrics and Redis show now."""
        with urllib.request.urlopen(f"http://{self.running.http}/metrics", timeout=30) as answer:
            self.metrics.append(answer.read())
        for server in (self.redis, self.cache):
            with server.client() as client:
                keys = list(client.scan_iter(count=1000))
                self.names.update(keys)
                if server is self.cache:
                    self.kept.update(client.get(key) or b"" for key in keys)

    def process_files(self) -> bytes:
        """What everybody on this machine may read of the process."""
        home = Path("/proc") / str(self.running.process.pid)
        return (home / "cmdline").read_bytes() + (home / "environ").read_bytes()


@contextlib.contextmanager
def place(folder, program=("serving.cli", "serve"), **options):
    for name in ("work", "home", "temporary", "jit", "secrets"):
        (folder / name).mkdir(parents=True)
    write_version(folder / "models", "small", 1)
    write_version(folder / "models", "small", 2, seed=1)
    write_version(folder / "models", "numbers", 1, NUMBERS)
    compiled = jit_cache_root() / f"kernels-{fingerprint()}"
    if compiled.is_dir():
        shutil.copytree(compiled, folder / "jit" / compiled.name)
    (folder / "secrets" / "key").write_text("00112233445566778899aabbccddeeff")
    (folder / "secrets" / "token").write_text(TOKEN)
    with RedisServer() as redis, RedisServer() as cache:
        given = {
            "model_repo": folder / "models",
            "grpc_port": 0,
            "http_port": 0,
            "log_level": "debug",
            "cache": "redis",
            "cache_redis_url": cache.url,
            "redis_url": redis.url,
            "hash_key_file": folder / "secrets" / "key",
            "facts_token_file": folder / "secrets" / "token",
            "shadow_backend": "onnxruntime",
            "shadow_fraction": 1,
            "repository_poll_seconds": 0.2,
            "max_message_bytes": 1 << 20,
            **options,
        }
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("EPM_", "XDG_"))}
        folders = {"HOME": "home", "TMPDIR": "temporary", "EPM_JIT_CACHE_DIR": "jit"}
        process = subprocess.Popen(
            [sys.executable, "-m", *program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            cwd=folder / "work",
            env={
                **environment,
                **{name: str(folder / path) for name, path in folders.items()},
                "PYTHONPATH": os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")]),
            },
        )
        log, out = [], []
        readers = [
            threading.Thread(target=lambda to=to, of=of: to.extend(iter(of.readline, "")), daemon=True)
            for to, of in ((log, process.stderr), (out, process.stdout))
        ]
        for reader in readers:
            reader.start()
        try:
            assert until(lambda: bool(out) or process.poll() is not None, 120)
            assert out, "".join(log)
            ports = dict(part.split("=", 1) for part in out[0].split()[1:])
            yield Place(folder, Running(ports["grpc"], ports["http"], process, log), redis, cache, out)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
                process.kill()
            process.wait()
            for reader in readers:
                reader.join(10)


def found(at: Place) -> dict[str, list[str]]:
    """Where which marks are. The store's values are facts and hold them by design, but not whose they are."""
    places = {
        "metrics": at.metrics,
        "log": ["".join(at.running.log).encode()],
        "output": ["".join(at.out).encode()],
        "names of keys in Redis": at.names,
        "kept predictions": at.kept,
    }
    leaks = {name: marks_in(*pieces) for name, pieces in places.items()}
    leaks |= marked_files(at.written)
    return {name: marks for name, marks in leaks.items() if marks}


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A gateway through which everything went: with both Redis there, away, standing still, and back."""
    with place(tmp_path_factory.mktemp("used")) as at:
        statuses = Counter()
        commands = over_commands(at.running, at.folder / "models", at.folder / "secrets")
        statuses += over_grpc(at.running) + over_http(at.running)
        at.look()
        at.redis.pause(), at.cache.pause()
        statuses += over_grpc(at.running, seconds=2)
        at.redis.resume(), at.cache.resume()
        at.redis.kill(), at.cache.kill()
        statuses += over_grpc(at.running) + over_http(at.running)
        at.redis.start(), at.cache.start()
        statuses += _written_and_erased(at)
        at.look()
        everyone_can_see = at.process_files()
        at.running.process.send_signal(signal.SIGTERM)
        assert at.running.process.wait(60) == 0
    return at, statuses, commands, everyone_can_see


def _written_and_erased(at):
    """With Redis back: facts are written, asked for, seen by this test in the store, and erased."""
    statuses = Counter()
    with grpc.insecure_channel(at.running.grpc) as channel:
        write = channel.unary_unary(f"{FACTS}/PutFacts")
        until_written = time.monotonic() + 60
        while time.monotonic() < until_written:
            with contextlib.suppress(grpc.RpcError):
                write(put("department", DEPARTMENT), timeout=5, metadata=AUTHORITY)
                break
            time.sleep(0.1)
        with at.redis.client() as client:
            values = [client.get(key) or b"" for key in client.scan_iter()]
        assert any(DEPARTMENT.encode() in value for value in values), "facts are stored, as they should be"
        assert not any(PERSON.encode() in value for value in values), "whose they are is not"
        statuses += over_grpc(at.running)
        at.look()
        channel.unary_unary(f"{FACTS}/DeleteEntity")(erase_request(), timeout=20, metadata=AUTHORITY)
    return statuses


def test_marked_values_leave_no_trace(used):
    at, _, _, everyone_can_see = used
    assert found(at) == {}
    assert marks_in(everyone_can_see) == [], "in the list of processes"


def test_the_traffic_was_answered_and_was_refused_in_every_way(used):
    at, statuses, commands, _ = used
    expected = ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "UNAUTHENTICATED", "UNIMPLEMENTED")
    assert [name for name in (*expected, "RESOURCE_EXHAUSTED", "200", "400", "404") if not statuses[name]] == []
    assert [command.returncode for command in commands] == [0, 1, 0, 1, 0, 1, 0], [c.stderr for c in commands]
    assert "213.437" in commands[-1].stdout, "who may ask is told what is stored"
    log = "".join(at.running.log)
    assert "DEBUG" in log, "it logs all it can"
    assert "defect" not in log
    assert "Traceback" not in log
    assert any(b"epm_shadow_rows_total" in text for text in at.metrics)
    assert len(at.kept) > 1, "predictions were kept in Redis"


def test_a_leak_is_found_wherever_it_is(tmp_path):
    with place(tmp_path, ("tests.support.leaky_gateway",)) as at:
        over_grpc(at.running)
        at.look()
        leaks = found(at)
    assert {"metrics", "log", "output", "names of keys in Redis", str(at.folder / "work" / "leaked")} <= leaks.keys()
    assert "person in utf-8" in leaks["metrics"]
    assert "salary in digits" in leaks["log"]
    assert any("base64" in form for form in leaks["output"])
    assert "person in utf-8 in hex" in leaks["names of keys in Redis"]
    assert any("utf-16" in form for form in leaks[str(at.folder / "work" / "leaked")])


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_found_among_other_bytes(name, tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(100) + FORMS[name] + os.urandom(100))
    assert name in marked_files([tmp_path])[str(tmp_path / "file")]


def test_salaries_are_found_however_they_are_written():
    import numpy as np

    texts = [str(SALARY), repr(np.float32(SALARY)), f"{SALARY:.4f}", f"{np.float32(98213.4371829)}"]
    assert all(marks_in(text.encode()) for text in texts[:3])
