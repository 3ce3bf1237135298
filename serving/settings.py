"""Every knob of the gateway. The only module that reads the environment; values are checked at start.

Each field of `Settings` is `EPM_<NAME>` in the environment and `--<name>` on the command line, the latter wins.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
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
        65536,
        "rows in worker threads, or waiting for Redis, batches and servers, all calls together; more is "
        "RESOURCE_EXHAUSTED at once",
        low=1,
    )
    listener: str = _knob(
        "grpc_aio",
        "what gRPC calls arrive at: grpc_aio (portable), h2 (compiled, needs libnghttp2), h2_python (the compiled "
        "listener, every call answered by Python)",
        choices=("grpc_aio", "h2", "h2_python"),
    )
    loop_threads: int = _knob(
        1, "event loops of the compiled listener, each in a thread with a socket of its own", low=1, high=64
    )
    max_connections: int = _knob(
        1000, "connections of one event loop of the compiled listener; more are closed at once", low=1, high=1 << 20
    )
    max_open_calls: int = _knob(
        4096,
        "calls of one event loop of the compiled listener at a time; more are refused, and tried again by clients",
        low=1,
        high=1 << 20,
    )
    message_memory_bytes: int = _knob(
        64 << 20,
        "bytes of requests and answers that the compiled listener holds, in equal shares for its event loops; "
        "more is RESOURCE_EXHAUSTED. Three times max_message_bytes for each loop, at least",
        low=1 << 20,
        high=1 << 40,
    )
    idle_seconds: float = _knob(
        600.0, "after so long without calls the compiled listener closes a connection; 0: never", low=0
    )
    max_streams: int = _knob(1000, "calls of one connection at a time; more wait at the client", low=1, high=2**31 - 1)
    max_connection_age_seconds: float = _knob(
        0.0,
        "after about so long a gRPC connection takes no more calls and ends with its last one: its client looks up "
        "addresses again, and finds gateways that are new; 0: never",
        low=0,
        high=86_400,
    )
    stream_window: int = _knob(16, "unanswered messages of one stream; then reading stops", low=1)
    inline_rows: int = _knob(
        64,
        "calls of up to so many rows are computed on the event loop, if their model is here and quick; larger ones in "
        "a worker thread",
        low=0,
        high=1024,
    )
    worker_threads: int = _knob(
        2, "threads for calls above inline_rows, and for models that are slow in this process", low=1
    )
    workers: int = _knob(
        1,
        "processes that serve, on the same ports, with a supervisor that starts again what ends; each has models, "
        "replica and kept predictions of its own",
        low=1,
        high=64,
    )
    worker_stuck_seconds: float = _knob(
        30.0, "with several workers: one that does not answer its supervisor for so long is killed", low=1, high=3600
    )
    worker: str = _knob("", "set by the supervisor for its workers, which share their ports: not to be set by others")
    intra_op_num_threads: int = _knob(
        1, "onnxruntime threads in one call; above 1 results may differ in the last bits", low=1, high=1024
    )
    repository_poll_seconds: float = _knob(5.0, "how often the model repository is looked at; 0: only at start", low=0)
    backends: str = _knob(
        "forest,onnxruntime",
        "what executes models, in this order: the next one is asked where one cannot answer. forest, onnxruntime, "
        "triton, tf_serving. Others for one model: 'forest,onnxruntime;attrition_model=triton,onnxruntime'",
        names=("forest", "onnxruntime", "triton", "tf_serving"),
    )
    device: str = _knob(
        "auto", "where onnxruntime computes; auto: cuda where it is there", choices=("auto", "cpu", "cuda")
    )
    triton_address: str = _knob(
        "",
        "Triton's gRPC: host:port, several after commas, grpcs://host:port with TLS; all addresses of a name are used",
    )
    tf_serving_address: str = _knob("", "TF Serving's gRPC, in the same form")
    backend_ca_file: str = _knob(
        "", "certificates (PEM) by which grpcs:// servers are known; empty: those that come with gRPC"
    )
    backend_timeout_seconds: float = _knob(1.0, "how long one try at a server may take", low=0.001, high=600)
    batching: str = _knob(
        "auto",
        "whether concurrent calls for a model share batches: on, off, auto (where a server computes, or a model "
        "that is slow in this process). Per model as in backends",
        names=("auto", "on", "off"),
        single=True,
    )
    batch_rows: int = _knob(256, "rows in a shared batch; Triton takes 1024 at most (max_batch_size)", low=1, high=1024)
    batch_bytes: int = _knob(1 << 20, "bytes of inputs in a shared batch", low=1024, high=1 << 30)
    batch_queue_rows: int = _knob(
        16384, "rows of one model that wait for a batch, max_rows at least; more is RESOURCE_EXHAUSTED at once", low=1
    )
    batches_running: int = _knob(2, "batches of one model at a server at any time", low=1, high=1024)
    cache: str = _knob(
        "auto",
        "which predictions are kept, by row: off, local (in this process), redis (in EPM_CACHE_REDIS_URL as well), "
        "auto (as measured: where asking costs less than computing). Per model as in backends",
        names=("auto", "off", "local", "redis"),
        single=True,
    )
    cache_bytes: int = _knob(64 << 20, "bytes of the in-process predictions of one version", low=1 << 16, high=1 << 40)
    cache_ttl_seconds: float = _knob(3600.0, "how long a prediction is kept", low=1, high=30 * 86400)
    cache_redis_url: str = _knob(
        "", "Redis that predictions are kept in, in the form of redis_url; empty: none", repr=False
    )
    cache_timeout_seconds: float = _knob(
        0.02, "how long a round trip for kept predictions may take", low=0.001, high=60
    )
    shadow_backend: str = _knob(
        "",
        "a backend that is asked for a sample of rows as well, beside callers, and compared: one name, or per model as "
        "in backends ('performance_model=onnxruntime')",
        names=("forest", "onnxruntime", "triton", "tf_serving"),
        single=True,
    )
    shadow_fraction: float = _knob(0.01, "share of computed calls that the shadow backend is asked for", low=0, high=1)
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
    metrics: str = _knob("on", "whether calls are counted and timed for /metrics", choices=("on", "off"))
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
            if "names" in bounds:
                PerModel.parse(name, value, bounds["names"], single=bounds.get("single", False))
        for server in ("triton", "tf_serving"):
            asked = any(server in names for field in ("backends", "shadow_backend") for names in self.each(field))
            if asked and not getattr(self, f"{server}_address"):
                name = environment_name(f"{server}_address")
                raise SettingsError(
                    f"{name}: got nothing, expected host:port: a model is to be asked there", field=name
                )
        if self.backend_ca_file and not any("grpcs://" in at for at in (self.triton_address, self.tf_serving_address)):
            name, expected = "EPM_BACKEND_CA_FILE", "grpcs:// in an address as well: without it nothing is encrypted"
            raise SettingsError(f"{name}: got a file, expected {expected}", field=name)
        if any("redis" in names for names in self.each("cache")) and not self.cache_redis_url:
            name = "EPM_CACHE_REDIS_URL"
            raise SettingsError(f"{name}: got nothing, expected a Redis: EPM_CACHE asks for it", field=name)
        if (self.redis_url or self.cache_redis_url) and not self.hash_key_file:
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

    def chosen(self, knob: str, model: str) -> tuple[str, ...]:
        """What a knob that is set per model says of this one: names, in order. Of what it does not say: its default."""
        return self._per_model(knob).of(model)

    def each(self, knob: str) -> list[tuple[str, ...]]:
        """All that a knob that is set per model says."""
        per_model = self._per_model(knob)
        return [per_model.default, *per_model.models.values()]

    def named(self) -> list[tuple[str, str]]:
        """Settings and the models that they name."""
        knobs = [known.name for known in fields(self) if "names" in known.metadata]
        return [(environment_name(knob), model) for knob in knobs for model in self._per_model(knob).models]

    def changed(self) -> list[str]:
        """Names of the settings that are not at their defaults."""
        return [environment_name(knob.name) for knob in fields(self) if getattr(self, knob.name) != knob.default]

    def _per_model(self, knob: str) -> "PerModel":
        known = next(known for known in fields(self) if known.name == knob)
        name, names, single = environment_name(knob), known.metadata["names"], known.metadata.get("single", False)
        said = PerModel.parse(name, getattr(self, knob), names, single)
        default = PerModel.parse(name, str(known.default), names, single).default
        return said if said.default else replace(said, default=default)

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


@dataclass(frozen=True)
class PerModel:
    """Names for every model, and others for some: `forest,onnxruntime;attrition_model=triton`."""

    default: tuple[str, ...]
    models: Mapping[str, tuple[str, ...]]

    def of(self, model: str) -> tuple[str, ...]:
        """The names for one model."""
        return self.models.get(model, self.default)

    @classmethod
    def parse(cls, knob: str, text: str, names: tuple[str, ...], single: bool) -> "PerModel":
        """Read a setting; single: at most one name each. Raises SettingsError naming `knob`."""
        default: tuple[str, ...] = ()
        models: dict[str, tuple[str, ...]] = {}
        for number, part in enumerate(filter(None, map(str.strip, text.split(";")))):
            model, equals, listed = part.rpartition("=")
            chosen = tuple(name.strip() for name in listed.split(","))
            expected = f"{'one' if single else 'some, in order,'} of {', '.join(names)}"
            wrong = [name for name in chosen if name not in names]
            if wrong or len(set(chosen)) < len(chosen) or (single and len(chosen) > 1):
                raise SettingsError(f"{knob}: got {part!r}, expected {expected}", field=knob)
            if equals:
                model = model.strip()
                if not model or model in models:
                    raise SettingsError(f"{knob}: got {part!r}, expected each model once, by name", field=knob)
                models[model] = chosen
            elif number:
                raise SettingsError(f"{knob}: got {part!r}, expected model=... after the first ;", field=knob)
            else:
                default = chosen
        return cls(default, models)


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
