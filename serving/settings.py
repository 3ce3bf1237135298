"""Every knob of the gateway. The only module that reads the environment; values are checked at start.

Each field of `Settings` is `EPM_<NAME>` in the environment and `--<name>` on the command line, the latter wins.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from serving.errors import SettingsError


def _knob(default: Any, help: str, repr: bool = True, **bounds: Any) -> Any:
    return field(default=default, repr=repr, metadata={"help": help, **bounds})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one gateway process."""

    model_repo: str = _knob("model_repo", "folder of the models to serve")
    host: str = _knob("127.0.0.1", "address to listen on; 0.0.0.0 for all, when the network around it is trusted")
    grpc_port: int = _knob(8500, "port of all gRPC protocols; 0 picks a free one", low=0, high=65535)
    http_port: int = _knob(8501, "port of metrics, probes and REST; 0 picks a free one", low=0, high=65535)
    max_rows: int = _knob(4096, "rows in one call, more is INVALID_ARGUMENT", low=1)
    max_message_bytes: int = _knob(
        4 << 20, "bytes in one message, more is RESOURCE_EXHAUSTED", low=1024, high=2**31 - 1
    )
    max_rows_in_flight: int = _knob(
        65536, "rows in worker threads at any time, all calls together; more is RESOURCE_EXHAUSTED at once", low=1
    )
    max_streams: int = _knob(1000, "calls of one connection at a time; more wait at the client", low=1, high=2**31 - 1)
    stream_window: int = _knob(16, "unanswered messages of one stream; then reading stops", low=1)
    inline_rows: int = _knob(
        64,
        "calls of up to so many rows are computed on the event loop, larger ones in a worker thread",
        low=0,
        high=1024,
    )
    worker_threads: int = _knob(2, "threads for calls above inline_rows", low=1)
    intra_op_num_threads: int = _knob(
        1, "onnxruntime threads in one call; above 1 results may differ in the last bits", low=1, high=1024
    )
    repository_poll_seconds: float = _knob(5.0, "how often the model repository is looked at; 0: only at start", low=0)
    redis_url: str = _knob(
        "",
        "online store: redis://, rediss:// or unix://; empty: none, predict by id is refused. With a password in it, "
        "set EPM_REDIS_URL instead: command lines can be seen in the list of processes",
        repr=False,
    )
    hash_key_file: str = _knob(
        "", "file with the secret key of all keyed hashes: 32 hexadecimal digits; gateways that share a Redis share it"
    )
    facts_token_file: str = _knob(
        "", "file with the token that callers of epm.v1.FeatureService show; empty: nobody may call it"
    )
    redis_timeout_seconds: float = _knob(0.25, "how long one round trip to Redis may take", low=0.001, high=60)
    most_stale_seconds: float = _knob(
        86_400.0, "how long the replica is used while Redis is away; then its rows are UNAVAILABLE", low=0
    )
    replica_bytes: int = _knob(
        256 << 20, "bytes of the in-process replica of the online store", low=1 << 20, high=1 << 40
    )
    drain_seconds: float = _knob(20.0, "how long running calls may take to finish after SIGTERM", low=0)
    log_level: str = _knob("info", "how much to log", choices=("debug", "info", "warning", "error"))

    def __post_init__(self) -> None:
        for knob in fields(self):
            value, bounds = getattr(self, knob.name), knob.metadata
            name = environment_name(knob.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise SettingsError(f"{name}: got {value}, expected a finite number", field=name)
            if "low" in bounds and not value >= bounds["low"]:
                raise SettingsError(f"{name}: got {value}, expected at least {bounds['low']}", field=name)
            if "high" in bounds and value > bounds["high"]:
                raise SettingsError(f"{name}: got {value}, expected at most {bounds['high']}", field=name)
            if "choices" in bounds and value not in bounds["choices"]:
                expected = ", ".join(bounds["choices"])
                raise SettingsError(f"{name}: got {value!r}, expected one of {expected}", field=name)
        if self.redis_url and not self.hash_key_file:
            name = "EPM_HASH_KEY_FILE"
            raise SettingsError(f"{name}: got nothing, expected a file: Redis is not used without it", field=name)
        if not self.host:
            raise SettingsError("EPM_HOST: got nothing, expected an address", field="EPM_HOST")
        if 0 < self.repository_poll_seconds < 0.1:
            name = "EPM_REPOSITORY_POLL_SECONDS"
            raise SettingsError(f"{name}: got {self.repository_poll_seconds}, expected 0, or 0.1 and more", field=name)
        if self.max_rows_in_flight < self.max_rows:
            name, least = "EPM_MAX_ROWS_IN_FLIGHT", f"at least EPM_MAX_ROWS, {self.max_rows}"
            raise SettingsError(f"{name}: got {self.max_rows_in_flight}, expected {least}", field=name)

    @classmethod
    def read(cls, options: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None) -> "Settings":
        """Settings from `options` (command line), then the environment, then defaults. Raises SettingsError."""
        environment = os.environ if environment is None else environment
        known = {environment_name(knob.name) for knob in fields(cls)} | OTHER_VARIABLES
        for name in sorted(environment):
            if name.startswith("EPM_") and name not in known and not _is_service_link(name, environment[name]):
                raise SettingsError(f"{name}: there is no such setting (see `epm serve --help`)", field=name)
        values = {}
        for knob in fields(cls):
            name = environment_name(knob.name)
            text = (options or {}).get(knob.name)
            text = environment.get(name) if text is None else text
            if text is None:
                continue
            kind: Any = type(knob.default)
            try:
                values[knob.name] = kind(text)
            except ValueError:
                raise SettingsError(f"{name}: got {text!r}, expected {kind.__name__}", field=name) from None
        return cls(**values)


OTHER_VARIABLES = {"EPM_JIT_CACHE_DIR", "EPM_ADDRESS", "EPM_TOKEN_FILE"}


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes put this into the pod, for a Service named `epm` or `epm-...`: it is not meant for us."""
    by_name = re.fullmatch(r"EPM_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT_\d+_(TCP|UDP)\w*)", name)
    return bool(by_name) or (name.endswith("_PORT") and value.startswith(("tcp://", "udp://")))


def environment_name(knob: str) -> str:
    return f"EPM_{knob.upper()}"


def jit_cache_root() -> Path | None:
    """Where compiled kernels are kept: EPM_JIT_CACHE_DIR, or the user's cache folder; None where there is no home.

    Kernels need it before any settings object exists.
    """
    if chosen := os.environ.get("EPM_JIT_CACHE_DIR"):
        return Path(chosen)
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "epm" / "jit"
    try:
        return Path.home() / ".cache" / "epm" / "jit"
    except RuntimeError:
        return None


def client_address() -> str:
    """Where the command-line client finds a gateway: EPM_ADDRESS, or the default port on this machine."""
    return os.environ.get("EPM_ADDRESS", "127.0.0.1:8500")


def client_token_file() -> str:
    """Where the command-line client finds the token for epm.v1.FeatureService: EPM_TOKEN_FILE, or nowhere."""
    return os.environ.get("EPM_TOKEN_FILE", "")
