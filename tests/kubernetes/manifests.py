"""Rendered manifests, and what is asked of them again and again: pods, containers, ports, environments."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("cpu", "gpu", "dev")
NAMESPACE = "epm"

Manifest = dict[str, Any]


def render(folder: str) -> list[Manifest]:
    """What `kubectl kustomize` makes of a folder in k8s/. Raises RuntimeError: with its words, or without a kubectl."""
    if shutil.which("kubectl") is None:
        raise RuntimeError("no kubectl on PATH, expected 1.27 or later: https://kubernetes.io/docs/tasks/tools/")
    command = ["kubectl", "kustomize", str(ROOT / "k8s" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"kubectl kustomize k8s/{folder}: {done.stderr}")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """In the order of the file."""
    return [one for one in manifests if one["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest | None:
    """The one of that kind and name, or None."""
    return next((one for one in of_kind(manifests, kind) if one["metadata"]["name"] == name), None)


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet as its pods see it."""

    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]

    @property
    def pod(self) -> Manifest:
        """The pod's spec."""
        return self.manifest["spec"]["template"]["spec"]

    @property
    def labels(self) -> dict[str, str]:
        """Of its pods."""
        return self.manifest["spec"]["template"]["metadata"]["labels"]

    @property
    def main(self) -> Manifest:
        """The container that serves."""
        return self.pod["containers"][0]

    @property
    def containers(self) -> list[Manifest]:
        """All, those that run first too."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    @property
    def volumes(self) -> dict[str, Manifest]:
        """By name; those of claims are there too."""
        claims = self.manifest["spec"].get("volumeClaimTemplates", [])
        volumes = {one["name"]: one for one in self.pod.get("volumes", [])}
        return volumes | {one["metadata"]["name"]: one for one in claims}

    @property
    def ports(self) -> dict[str, int]:
        """Of the container that serves, by name."""
        return {port["name"]: port["containerPort"] for port in self.main.get("ports", [])}

    def port(self, asked: str | int) -> int | None:
        """The number of a port by its name or number; None where no container has it."""
        return self.ports.get(asked) if isinstance(asked, str) else asked if asked in self.ports.values() else None

    @property
    def words(self) -> list[str]:
        """Command and arguments of the container that serves."""
        return [*self.main.get("command", []), *self.main.get("args", [])]

    def flag(self, name: str) -> str | None:
        """The value of `--name=value`; None where it is not given."""
        return next((word.partition("=")[2] for word in self.words if word.partition("=")[0] == f"--{name}"), None)


def workloads(manifests: list[Manifest]) -> list[Workload]:
    return [Workload(one) for one in of_kind(manifests, "Deployment", "StatefulSet")]


def workload(manifests: list[Manifest], name: str) -> Workload | None:
    return next((one for one in workloads(manifests) if one.name == name), None)


def environment(manifests: list[Manifest], of: Workload) -> dict[str, str]:
    """What the container that serves gets from ConfigMaps that are there, and by itself."""
    found: dict[str, str] = {}
    for source in of.main.get("envFrom", []):
        config = named(manifests, "ConfigMap", source["configMapRef"]["name"])
        found |= config["data"] if config else {}
    return found | {one["name"]: one["value"] for one in of.main.get("env", [])}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector (matchLabels only, or a Service's plain one) takes these labels; an empty one takes all."""
    wanted = selector.get("matchLabels", {}) if {"matchLabels", "matchExpressions"} & set(selector) else selector
    return wanted.items() <= labels.items()


def mounts(of: Workload) -> Iterator[tuple[str, Manifest]]:
    """Paths in the container that serves, with their volumes; a volume that is not there is empty."""
    for mount in of.main.get("volumeMounts", []):
        yield mount["mountPath"], of.volumes.get(mount["name"], {})
