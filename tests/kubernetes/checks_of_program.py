"""What manifests say to programs is what these programs know. Checks as in checks_of_shape."""

from collections.abc import Callable
from dataclasses import fields

from serving.errors import SettingsError
from serving.settings import OTHER_VARIABLES, Settings, environment_name
from tests.kubernetes.manifests import (
    ROOT,
    Manifest,
    Workload,
    environment,
    mounts,
    named,
    of_kind,
    workload,
    workloads,
)
from tests.kubernetes.program import (
    TF_SERVING_FLAGS,
    Program,
    compose,
    epm_flags,
    image_environment,
    triton_flags,
)


def settings_of(manifests: list[Manifest]) -> Settings:
    """Of the gateway, as its pod would read them. Raises SettingsError."""
    gateway = workload(manifests, "gateway")
    assert gateway is not None
    given = image_environment() | environment(manifests, gateway)
    return Settings.read(environment={name: text for name, text in given.items() if name.startswith("EPM_")})


def settings(manifests: list[Manifest]) -> list[str]:
    """Every EPM_ name is a setting, every value is one it takes, and every file it names is mounted."""
    wrong, known = [], {environment_name(knob.name) for knob in fields(Settings)} | OTHER_VARIABLES
    for one in workloads(manifests):
        given = environment(manifests, one)
        wrong += [
            f"{name}: there is no such setting" for name in given if name.startswith("EPM_") and name not in known
        ]
    if wrong:
        return wrong
    try:
        chosen = settings_of(manifests)
    except SettingsError as error:
        return [error.message]
    gateway = workload(manifests, "gateway")
    files = {
        f"{path}/{item['path']}"
        for path, volume in mounts(gateway)
        for item in volume.get("secret", {}).get("items", [])
    }
    named_files = [path for path in (chosen.hash_key_file, chosen.facts_token_file) if path]
    wrong += [f"{path}: nothing is mounted there" for path in named_files if path not in files]
    if chosen.model_repo not in dict(mounts(gateway)):
        wrong.append(f"{chosen.model_repo}: no models are mounted there")
    if chosen.host != "0.0.0.0":  # noqa: S104 (a pod's address is for others)
        wrong.append(f"the gateway listens on {chosen.host} only")
    return wrong


def ports_and_paths(manifests: list[Manifest], program: Program) -> list[str]:
    """Ports are those that programs listen on, probes and scrapes ask paths that are answered."""
    wrong, chosen = [], settings_of(manifests)
    listening = {
        "gateway": {"grpc": chosen.grpc_port, "http": chosen.http_port},
        "redis": {"redis": int(redis_conf(manifests).get("port", 6379))},
        "triton": {"http": 8000, "grpc": 8001, "metrics": 8002},
    }
    for one in workloads(manifests):
        if one.name == "tf-serving":
            expected = {"grpc": int(one.flag("port") or 0), "http": int(one.flag("rest_api_port") or 0)}
        else:
            expected = listening.get(one.name, {})
        if one.ports != expected:
            wrong.append(f"{one.name}: ports {one.ports}, it listens on {expected}")
    gateway = workload(manifests, "gateway")
    paths = [gateway.main[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    paths += [end.get("path", "") for one in of_kind(manifests, "ServiceMonitor") for end in one["spec"]["endpoints"]]
    return wrong + [f"{path}: the gateway does not answer that" for path in paths if not program.answers(path)]


def flags(manifests: list[Manifest]) -> list[str]:
    """Programs are called by their names, with flags that they have and files that are there."""
    known: dict[str, tuple[list[str], Callable[[], frozenset[str]]]] = {
        "gateway": (["epm", "serve"], epm_flags),
        "triton": (["tritonserver"], triton_flags),
        "tf-serving": (["tensorflow_model_server"], lambda: TF_SERVING_FLAGS),
        "redis": (["redis-server", "/etc/redis/redis.conf"], frozenset),
    }
    wrong = []
    for one in workloads(manifests):
        command, has = known[one.name]
        if one.main.get("command") != command:
            wrong.append(f"{one.name}: is called {one.main.get('command')}, expected {command}")
        given = [word[2:].partition("=")[0] for word in one.words if word.startswith("--")]
        wrong += [f"{one.name}: has no flag --{flag}" for flag in given if flag not in has()]
        wrong += [f"{one.name}: {path} is not there" for path in _missing(manifests, one)]
        config = one.flag("model-config-name")
        models = [path.parent for path in (ROOT / "model_repo").glob("*/config.pbtxt")]
        if config:
            wrong += [
                f"{path.name}: no configs/{config}.pbtxt"
                for path in models
                if not (path / "configs" / f"{config}.pbtxt").exists()
            ]
    return wrong


def _missing(manifests: list[Manifest], one: Workload) -> list[str]:
    """Files that its command names and no volume has."""
    files = {"/models"} | {f"/models/{path.name}" for path in (ROOT / "model_repo").iterdir()}
    for path, volume in mounts(one):
        config = named(manifests, "ConfigMap", volume.get("configMap", {}).get("name", ""))
        files |= {f"{path}/{key}" for key in (config or {}).get("data", {})}
    asked = [word.partition("=")[2] if word.startswith("--") else word for word in one.words]
    return [path for path in asked if path.startswith("/") and path not in files]


def redis_conf(manifests: list[Manifest]) -> dict[str, str]:
    redis = workload(manifests, "redis")
    (name,) = [volume["configMap"]["name"] for volume in redis.volumes.values() if "configMap" in volume]
    lines = named(manifests, "ConfigMap", name)["data"]["redis.conf"].splitlines()
    return dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))


def images(manifests: list[Manifest]) -> list[str]:
    """compose.yaml runs the images of the cluster."""
    here_images = {service["image"] for service in compose()["services"].values()}
    return [
        f"{one.name}: {one.main['image']} is not what compose.yaml runs"
        for one in workloads(manifests)
        if one.main["image"] not in here_images
    ]
