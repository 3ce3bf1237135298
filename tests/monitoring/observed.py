"""A real gateway with all that it can have around it - Redis, Triton - under load, and a real Prometheus beside it."""

import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.monitoring.kinds import PILOT, TOKEN, People, people
from tests.monitoring.known import GRADES, LEAVING
from tests.monitoring.traffic import Traffic
from tests.support.gateways import Running, gateway
from tests.support.metrics import sample, until
from tests.support.models import write_digests
from tests.support.prometheus import SCRAPE_SECONDS, Prometheus
from tests.support.published import REPOSITORY
from tests.support.redis import RedisServer
from tests.support.triton import TritonServer

RULES = Path(__file__).resolve().parents[2] / "k8s" / "monitoring" / "rules"
WAITING = "waiting_model"
"""Is to be computed at a server that is not there."""
SETTINGS = {
    "backends": f"forest,onnxruntime;{LEAVING}=triton,onnxruntime;{PILOT}=triton;{WAITING}=tf_serving",
    "shadow_backend": f"{GRADES}=onnxruntime",
    "shadow_fraction": 0.2,
    "cache": f"local;{LEAVING}=redis",
    "cache_bytes": 1 << 16,
    "cache_ttl_seconds": 60,
    "backend_timeout_seconds": 10,
    "max_rows": 1500,
    "max_rows_in_flight": 1500,
}
"""A model at a server with a backend behind it, and ones without; a shadow; small tables of kept predictions, so that
some have to leave; room for all callers, but not for two crowds. A server may take its time where many tests
share two processors.
"""
PATIENCE = 120.0
"""Seconds to wait at most for what comes in a few on an idle machine."""


@dataclass
class Observed:
    """All that runs. began: seconds since 1970 when the load did."""

    redis: RedisServer
    triton: TritonServer
    at: Running
    people: People
    prometheus: Prometheus
    traffic: Traffic
    began: float

    def wait(self, what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Until it holds. Fails, saying what did not, when it never does."""
        assert until(holds, seconds), f"{what}: not within {seconds:g} s"

    def flow(self) -> None:
        """Until calls of every kind were answered from now on, and scraped."""
        now = time.monotonic()
        self.wait("calls of every kind", lambda: self.traffic.all_answered(now))
        self.scraped()

    def scraped(self) -> None:
        """Until all that happened so far has been scraped twice, so that it has a rate."""
        enough = time.time() + SCRAPE_SECONDS
        newest = "min(timestamp(up))"
        self.wait("a scrape", lambda: any(one.points[0][1] > enough for one in self.prometheus.query(newest)))

    def is_asked(self) -> bool:
        """Whether the gateway sends rows of both models to Triton."""
        return sample(self.at, "epm_backend_addresses", backend="triton", state="closed") == 2

    def crowd(self, turned_away: int) -> None:
        """Ask for very many rows from two sides until so many of these calls were turned away."""
        statuses: list[str] = []
        with ThreadPoolExecutor(2) as sides:

            def are_away() -> bool:
                statuses.extend(sides.map(self.people.crowd, [self.at, self.at]))
                return statuses.count("RESOURCE_EXHAUSTED") >= turned_away

            self.wait("calls that are turned away", are_away)
        assert set(statuses) <= {"OK", "RESOURCE_EXHAUSTED"}


@contextlib.contextmanager
def observed(folder: Path, rules: list[Path] | None = None) -> Iterator[Observed]:
    """Start everything below a temporary folder, wait until all of it answers, put load on it; stop it all.

    rules: files, those of the repository without any.
    """
    (folder / "key").write_text("00112233445566778899aabbccddeeff\n")
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "redis").mkdir()
    models, of_triton = _repositories(folder)
    with contextlib.ExitStack() as stack:
        nobody = stack.enter_context(socket.socket())
        nobody.bind(("127.0.0.1", 0))  # without listening: connections are refused
        redis = stack.enter_context(RedisServer(folder / "redis"))
        triton = stack.enter_context(TritonServer(of_triton))
        settings = SETTINGS | {
            "hash_key_file": folder / "key",
            "facts_token_file": folder / "token",
            "redis_url": redis.url,
            "cache_redis_url": redis.url,
            "triton_address": triton.grpc,
            "tf_serving_address": f"127.0.0.1:{nobody.getsockname()[1]}",
        }
        at = stack.enter_context(gateway(models, **settings))
        prometheus = stack.enter_context(
            Prometheus([at.http], sorted(RULES.glob("*.yaml")) if rules is None else rules)
        )
        asked = people()
        asked.store(at)
        traffic = stack.enter_context(Traffic(asked.kinds(at)))
        found = Observed(redis, triton, at, asked, prometheus, traffic, time.time())
        found.wait("Triton is asked", found.is_asked)
        yield found


def _repositories(folder: Path) -> tuple[Path, Path]:
    """The gateway's models: the committed ones, a version whose graph is not what its digests say, and copies under
    other names. And those of Triton.
    """
    models, of_triton = folder / "models", folder / "triton"
    shutil.copytree(REPOSITORY, models)
    for name in (PILOT, WAITING):
        _copy(models, GRADES, name)
    for name in (LEAVING, PILOT):
        shutil.copytree(models / name, of_triton / name)
    shutil.copytree(models / LEAVING / "1", models / LEAVING / "2")
    with (models / LEAVING / "2" / "model.onnx").open("ab") as graph:
        graph.write(b"damaged")
    return models, of_triton


def _copy(models: Path, model: str, name: str) -> None:
    """Another model that answers the same."""
    version = models / name / "1"
    version.mkdir(parents=True)
    for file in ("model.onnx", "golden.npz", "contract.json"):
        shutil.copy(models / model / "1" / file, version)
    for file, of in (
        (version / "contract.json", models / model / "1"),
        (models / name / "config.pbtxt", models / model),
    ):
        file.write_text((of / file.name).read_text("utf-8").replace(f'"{model}"', f'"{name}"'), "utf-8")
    write_digests(version)
