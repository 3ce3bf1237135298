"""compose.yaml is the cluster on one machine: the same images, commands and files. Checks as in checks_of_shape."""

import re
from typing import Any

from serving.settings import Settings
from tests.kubernetes.checks_of_times import LEAVING_SECONDS, TO_SPARE_SECONDS
from tests.kubernetes.manifests import ROOT, Manifest, workloads

Compose = dict[str, Any]

OWN_PORTS = {"prometheus": {9090}, "grafana": {3000}}
"""By their public documentation; the others' are those of the cluster."""
LEAST_PROCESSORS = 2
"""Of a machine that everything is started on: Docker refuses a container that may have more than there are."""
MADE_BY_PEOPLE = "k8s/secrets/"


def hardened(compose: Compose) -> list[str]:
    """As in the cluster: no root, nothing written but volumes, no capability, bounds, a health check, a version."""
    wrong = []
    for name, service in compose["services"].items():
        expected = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
        wrong += [f"{name}: {key} is not {value}" for key, value in expected.items() if service.get(key) != value]
        wrong += [f"{name}: no {key}" for key in ("mem_limit", "cpus", "pids_limit") if key not in service]
        if service.get("cpus", 0) > LEAST_PROCESSORS:
            wrong.append(f"{name}: Docker does not start it on a machine with {LEAST_PROCESSORS} processors")
        if str(service.get("user", "0")).startswith("0"):
            wrong.append(f"{name}: may run as root")
        if name != "gateway" and "healthcheck" not in service:  # its image has one
            wrong.append(f"{name}: no healthcheck")
        if not re.search(r":[^:/]*\d[^:/]*$", service["image"]):
            wrong.append(f"{name}: {service['image']} is pinned to no version")
        wrong += [
            f"{name}: port {port} is open to the network"
            for port in service.get("ports", [])
            if not port.startswith("127.0.0.1:")
        ]
    return wrong


def files(compose: Compose) -> list[str]:
    """What is mounted or read is in the repository; secrets are not, and their folder keeps git away from them."""
    paths = [path for service in compose["services"].values() for path in service.get("env_file", [])]
    paths += [volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])]
    paths = [path for path in paths if path not in compose["volumes"]]
    wrong = [f"{path}: is not in the repository" for path in paths if not (ROOT / path).exists()]
    secrets = [secret["file"] for secret in compose["secrets"].values()]
    wrong += [f"{path}: git would keep it" for path in secrets if not path.startswith(MADE_BY_PEOPLE)]
    if not (ROOT / MADE_BY_PEOPLE / ".gitignore").read_text("utf-8").startswith("*\n"):
        wrong.append(f"{MADE_BY_PEOPLE}.gitignore: git would keep secrets")
    return wrong


def as_in_the_cluster(compose: Compose, base: list[Manifest]) -> list[str]:
    """Images, commands and ports of the base."""
    wrong = []
    for one in workloads(base):
        service = compose["services"].get(one.name)
        if service is None:
            wrong.append(f"{one.name}: is not in compose.yaml")
            continue
        if service["image"] != one.main["image"]:
            wrong.append(f"{one.name}: runs {service['image']}, the cluster runs {one.main['image']}")
        words = [*service.get("entrypoint", []), *service.get("command", [])]
        if one.name != "gateway" and words != one.words:  # the image's entrypoint is checked with the Dockerfile
            wrong.append(f"{one.name}: is called {words}, in the cluster {one.words}")
        wrong += _published(one.name, service, set(one.ports.values()))
    for name, ports in OWN_PORTS.items():
        wrong += _published(name, compose["services"][name], ports)
    return wrong


def _published(name: str, service: Manifest, ports: set[int]) -> list[str]:
    inside = [int(port.split(":")[-1]) for port in service.get("ports", [])]
    return [f"{name}: has no port {port}" for port in inside if port not in ports]


def settings(compose: Compose) -> list[str]:
    """The gateway takes what it is told, its secrets lie where it looks, its servers are services here."""
    wrong, service = [], compose["services"]["gateway"]
    given = dict(service.get("environment", {}))
    for path in service["env_file"]:
        lines = (ROOT / path).read_text("utf-8").splitlines()
        given |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    chosen = Settings.read(environment=given)
    targets = {secret["target"] for secret in service["secrets"]}
    wrong += [
        f"{path}: no secret is put there"
        for path in (chosen.hash_key_file, chosen.facts_token_file)
        if path not in targets
    ]
    for address in (chosen.triton_address, chosen.tf_serving_address, chosen.redis_url.removeprefix("redis://")):
        if address.split(":")[0] not in compose["services"]:
            wrong.append(f"{address}: no service has that name")
    grace, needs = service.get("stop_grace_period", "10s"), chosen.drain_seconds + LEAVING_SECONDS
    if float(grace.removesuffix("s")) < needs + TO_SPARE_SECONDS:
        wrong.append(f"gateway: gets {grace} to leave, needs {needs:g} s and {TO_SPARE_SECONDS} to spare")
    return wrong
