"""What NetworkPolicies let through, as Kubernetes reads them: a pod that one selects is closed but for its rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.kubernetes.manifests import NAMESPACE, Manifest, Workload, of_kind, selects


@dataclass(frozen=True)
class Peer:
    """A pod, here or in another namespace."""

    labels: Mapping[str, str]
    namespace: Mapping[str, str] = field(default_factory=lambda: {"kubernetes.io/metadata.name": NAMESPACE})


def here(workload: Workload) -> Peer:
    """A pod of this workload."""
    return Peer(workload.labels)


PROMETHEUS = Peer({}, {"kubernetes.io/metadata.name": "monitoring"})
APPLICATION = Peer({}, {"kubernetes.io/metadata.name": "shop", "epm-client": "allowed"})
STRANGER = Peer({}, {"kubernetes.io/metadata.name": "elsewhere"})
NAMES = Peer({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})


def may_enter(manifests: list[Manifest], source: Peer, target: Workload, port: int) -> bool:
    """Whether what `source` sends reaches this port of the target's pods."""
    names = {number: name for name, number in target.ports.items()}
    return _open(manifests, here(target), "Ingress", "from", source, {port, names.get(port)})


def may_leave(manifests: list[Manifest], source: Workload, target: Peer, port: int) -> bool:
    """Whether what the source's pods send to this port of `target` leaves."""
    return _open(manifests, here(source), "Egress", "to", target, {port})


def _open(manifests: list[Manifest], pod: Peer, way: str, whom: str, peer: Peer, ports: set[Any]) -> bool:
    specs = [one["spec"] for one in of_kind(manifests, "NetworkPolicy")]
    closing = [spec for spec in specs if way in spec["policyTypes"] and selects(spec["podSelector"], pod.labels)]
    rules = [rule for spec in closing for rule in spec.get(way.lower(), [])]
    return not closing or any(_meets(rule, whom, peer, pod) and _has_port(rule, ports) for rule in rules)


def _meets(rule: Manifest, whom: str, peer: Peer, pod: Peer) -> bool:
    return whom not in rule or any(_is(one, peer, pod) for one in rule[whom])


def _is(one: Manifest, peer: Peer, pod: Peer) -> bool:
    near = (
        selects(one["namespaceSelector"], peer.namespace)
        if "namespaceSelector" in one
        else (peer.namespace == pod.namespace)
    )
    return near and selects(one.get("podSelector", {}), peer.labels) and "ipBlock" not in one


def _has_port(rule: Manifest, ports: set[Any]) -> bool:
    return "ports" not in rule or any(one["port"] in ports for one in rule["ports"])
