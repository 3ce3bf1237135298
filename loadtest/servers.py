"""Servers under load as processes of their own: start, pin, measure from /proc, stop by process id."""

import os
import selectors
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from loadtest.h2.client import loopback

_TICK = os.sysconf("SC_CLK_TCK")
CLIENT_CPU, SERVER_CPU = 0, 1
PATIENCE_TO_STOP = 20.0
"""Seconds between SIGTERM and SIGKILL."""
_HANDLED = "epm_request_duration_seconds"


class ServerError(Exception):
    """A server that did not start, or ended by itself."""


@dataclass(frozen=True)
class Usage:
    """What a process has used: processor seconds since its start (all threads, in steps of 1/100 s), resident MiB."""

    cpu_seconds: float
    rss_mib: float


class Server:
    """A server process, ready when the object exists; use it in `with`.

    command: prints a line that begins `ready grpc=HOST:PORT`. cpu: the processor it is held to, None for any.
    Raises ServerError when the line does not come within `patience` seconds, or says no address.
    """

    def __init__(self, command: list[str], cpu: int | None = None, patience: float = 120.0) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            self.pinned = cpu is not None and pin(cpu, self.pid)
            ready = _ready_line(self._process, patience)
            fields = dict(word.partition("=")[::2] for word in ready.split() if "=" in word)
            if not fields.get("grpc"):
                raise ServerError(f"{command!r} said {ready.strip()!r}, expected `ready grpc=HOST:PORT`")
        except BaseException:
            self.stop()
            raise
        self.address = fields["grpc"]
        self.http = fields.get("http", "")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def usage(self) -> Usage:
        """Raises ServerError when the process has ended. Source: proc(5), /proc/pid/stat fields 14, 15 and 24."""
        if self._process.poll() is not None:
            raise ServerError(f"the server ended with {self._process.returncode}")
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])
        return Usage(ticks / _TICK, pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20))

    def handled(self) -> tuple[float, int] | None:
        """Seconds spent in handlers and the calls they answered, by the gateway's own metrics; None elsewhere."""
        if not self.http:
            return None
        samples = [line.rpartition(" ")[::2] for line in read_metrics(self.http).splitlines()]
        seconds = sum(float(value) for name, value in samples if name.startswith(f"{_HANDLED}_sum"))
        return seconds, int(sum(float(value) for name, value in samples if name.startswith(f"{_HANDLED}_count")))

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that has had no effect for `PATIENCE_TO_STOP` seconds."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()


def gateway(model_repo: str, cpu: int | None = None, cache: str = "off", metrics: str = "on") -> Server:
    """`epm serve` on free ports. cache: as its setting; `auto` is what it does when nothing is set."""
    epm = Path(sys.executable).with_name("epm")
    ports = ["--grpc-port", "0", "--http-port", "0"]
    return Server([str(epm), "serve", *ports, "--model-repo", model_repo, "--cache", cache, "--metrics", metrics], cpu)


def echo(cpu: int | None = None) -> Server:
    """The bare grpc.aio server that gives back what it gets."""
    return Server([sys.executable, "-m", "loadtest.echo_server"], cpu)


def canned(cpu: int | None = None) -> Server:
    """The server that does nothing, for the ceiling of the load generator."""
    return Server([sys.executable, "-m", "loadtest.canned_server"], cpu)


def read_metrics(http: str) -> str:
    """The metrics of the server of this machine whose HTTP is at HOST:PORT, asked without any proxy.

    Raises LoadError for another machine, OSError, ValueError.
    """
    loopback(http)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://{http}/metrics", timeout=10) as response:
        return response.read().decode()


def pin(cpu: int, pid: int = 0) -> bool:
    """Hold a process (0: this one) to one processor; False where there is no such processor or no right to."""
    try:
        os.sched_setaffinity(pid, {cpu})
    except OSError:
        return False
    return True


def _ready_line(process: "subprocess.Popen[bytes]", patience: float) -> str:
    """The first line on standard output that begins with `ready`."""
    assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
    give_up = time.monotonic() + patience
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := give_up - time.monotonic()) > 0:
            if not selector.select(left):
                break
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                raise ServerError(f"{process.args!r} ended with {process.wait()} before it was ready")
            text += data
            for line in text.splitlines(keepends=True):
                if line.startswith(b"ready ") and line.endswith(b"\n"):
                    return line.decode()
    raise ServerError(f"{process.args!r} was not ready after {patience:g} s")
