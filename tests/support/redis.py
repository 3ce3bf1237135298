"""A real redis-server in a process of its own, on a free port, stopped by its process id."""

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.pausing import pause
from tests.support.ports import free_ports


class RedisServer:
    """A redis-server on one port as long as this lives, whatever happens to its processes.

    options: of redis-server, as in {"requirepass": "secret"}. folder: where it keeps
    its data; without one it is empty at every start.
    """

    def __init__(self, folder: Path | None = None, **options: str) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> redis.Redis:
        """A client of its own for the test, which tries once."""
        password = self._options.get("requirepass")
        return redis.Redis(port=self.port, password=password, socket_timeout=10, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        """Start it; returns when it answers."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no", **self._options}
        if self._folder is not None:
            options |= {"dir": str(self._folder), "appendonly": "yes", "appendfsync": "always"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        with self.client() as client:
            while time.monotonic() < until:
                with contextlib.suppress(redis.RedisError):
                    client.ping()
                    return
                if self._process.poll() is not None:
                    break
                time.sleep(0.01)
        self.kill()
        raise RuntimeError("redis-server did not start")

    def kill(self) -> None:
        """End it as if the power had failed (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it from doing anything (SIGSTOP): connections stay open and nothing is answered."""
        pause(self._process.pid)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
