"""What is measured, as processes of their own: a redis-server that keeps nothing, and gateways that use it."""

import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import create_server

import redis
from prometheus_client.parser import text_string_to_metric_families

from loadtest.servers import Server, ServerError

TOKEN = "a-token-for-measuring"  # noqa: S105
HASH_KEY = bytes(range(16))
_PATIENCE = 20.0


@dataclass(frozen=True)
class Place:
    """A folder with models and secrets, and a redis-server. `client` speaks to it for the measurement."""

    folder: Path
    port: int
    client: redis.Redis

    @property
    def url(self) -> str:
        """Of the redis-server."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def models(self) -> Path:
        """The model repository of the gateways."""
        return self.folder / "models"

    @property
    def token_file(self) -> Path:
        """What callers of epm.v1.FeatureService show."""
        return self.folder / "token"

    def gateway(self, replica_bytes: int = 256 << 20, cpu: int | None = None) -> Server:
        """`epm serve` on free ports. cpu: the processor it is held to, None for any."""
        options = {
            "grpc-port": 0,
            "http-port": 0,
            "model-repo": self.models,
            "redis-url": self.url,
            "redis-timeout-seconds": 2,  # what is slow is to be measured, not answered with UNAVAILABLE
            "hash-key-file": self.folder / "key",
            "facts-token-file": self.token_file,
            "replica-bytes": replica_bytes,
            "cache": "off",
            "log-level": "warning",
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        return Server([sys.executable, "-m", "serving.cli", "serve", *given], cpu)

    def commands(self) -> dict[str, int]:
        """How often Redis has executed each command since it was started."""
        return {name.removeprefix("cmdstat_"): of["calls"] for name, of in self.client.info("commandstats").items()}

    def used_memory(self) -> int:
        """Bytes that Redis has allocated."""
        return int(self.client.info("memory")["used_memory"])


@contextlib.contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Start a redis-server; write secrets into `folder`. Raises ServerError when Redis does not answer."""
    (folder / "models").mkdir(parents=True)
    (folder / "key").write_text(f"{HASH_KEY.hex()}\n")
    (folder / "token").write_text(f"{TOKEN}\n")
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    try:
        process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
    except OSError as error:
        raise ServerError(f"redis-server: {error.strerror}") from None
    try:
        with redis.Redis(port=port, socket_timeout=60) as client:
            _answers(client, process)
            yield Place(folder, port, client)
    finally:
        process.terminate()
        process.wait()


def _answers(client: redis.Redis, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(redis.RedisError):
            client.ping()
            return
        time.sleep(0.01)
    raise ServerError("redis-server did not start")


def metrics(gateway: Server) -> dict[str, float]:
    """A gateway's /metrics: the sum of each name over all labels."""
    found: dict[str, float] = {}
    with urllib.request.urlopen(f"http://{gateway.http}/metrics", timeout=10) as response:
        text = response.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
