"""Each check takes rendered manifests and gives what is wrong with them, in words; nothing when all is well."""

import re
from collections.abc import Iterator
from functools import cache

import kubernetes_validate

from tests.kubernetes.manifests import Manifest, Workload, named, of_kind, selects, workloads

KUBERNETES = "1.32"
OPERATOR = ("ServiceMonitor", "PrometheusRule")


def schema(manifests: list[Manifest]) -> list[str]:
    """Every object is what Kubernetes' own schema says, without unknown fields."""
    wrong = []
    for one in manifests:
        if one["kind"] in OPERATOR:
            continue
        try:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            wrong.append(f"{one['kind']} {one['metadata']['name']}: {error.message}")
    return wrong


def hardening(manifests: list[Manifest]) -> list[str]:
    """No container runs as root, writes its root file system, has a capability, a token, or no bounds."""
    wrong = []
    for one in workloads(manifests):
        pod = one.pod
        security = pod.get("securityContext", {})
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            wrong.append(f"{one.name}: may run as root")
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            wrong.append(f"{one.name}: no seccomp profile")
        if pod.get("automountServiceAccountToken") is not False:
            wrong.append(f"{one.name}: has a token of the cluster")
        for container in one.containers:
            at, own = f"{one.name}/{container['name']}", container.get("securityContext", {})
            if own.get("readOnlyRootFilesystem") is not True:
                wrong.append(f"{at}: writes its root file system")
            if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
                wrong.append(f"{at}: has capabilities")
            bounds = container.get("resources", {})
            for kind in ("requests", "limits"):
                wrong += [
                    f"{at}: no {kind} of {what}" for what in ("cpu", "memory") if what not in bounds.get(kind, {})
                ]
            if not re.search(r":[^:/]*\d[^:/]*$", container["image"]):
                wrong.append(f"{at}: {container['image']} is pinned to no version")
        if not one.main.keys() >= {"startupProbe", "readinessProbe", "livenessProbe"}:
            wrong.append(f"{one.name}: a probe is missing")
    return wrong


def references(manifests: list[Manifest]) -> list[str]:
    """What one object names in another is there."""
    wrong = [f"a Secret, {one['metadata']['name']}, is in the manifests" for one in of_kind(manifests, "Secret")]
    for one in workloads(manifests):
        if not selects(one.manifest["spec"]["selector"], one.labels):
            wrong.append(f"{one.name}: its selector does not take its own pods")
        account = one.pod.get("serviceAccountName")
        if account and not named(manifests, "ServiceAccount", account):
            wrong.append(f"{one.name}: no ServiceAccount {account}")
        sources = [source["configMapRef"]["name"] for source in one.main.get("envFrom", [])]
        sources += [volume["configMap"]["name"] for volume in one.volumes.values() if "configMap" in volume]
        wrong += [f"{one.name}: no ConfigMap {name}" for name in sources if not named(manifests, "ConfigMap", name)]
        for container in one.containers:
            mounted = [mount["name"] for mount in container.get("volumeMounts", [])]
            wrong += [f"{one.name}: no volume {name}" for name in mounted if name not in one.volumes]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            for way in ("httpGet", "tcpSocket", "grpc"):
                asked = one.main.get(probe, {}).get(way, {}).get("port")
                if asked is not None and one.port(asked) is None:
                    wrong.append(f"{one.name}: {probe} asks port {asked}, which it does not have")
    for service in of_kind(manifests, "Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        chosen = [one for one in workloads(manifests) if selects(spec["selector"], one.labels)]
        if len(chosen) != 1:
            wrong.append(f"Service {name}: selects {len(chosen)} workloads, expected one")
        for one in chosen:
            wrong += [
                f"Service {name}: no port {port['targetPort']} at {one.name}"
                for port in spec["ports"]
                if one.port(port["targetPort"]) is None
            ]
    return wrong


def replicas(manifests: list[Manifest]) -> list[str]:
    """What scales, what may be taken away and what may be beside it while it is replaced fit together."""
    wrong, least = [], {one.name: one.manifest["spec"].get("replicas", 1) for one in workloads(manifests)}
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
        target, spec = scaler["spec"]["scaleTargetRef"], scaler["spec"]
        found = named(manifests, target["kind"], target["name"])
        if not found:
            wrong.append(f"HorizontalPodAutoscaler: no {target['kind']} {target['name']}")
            continue
        if "replicas" in found["spec"]:
            wrong.append(f"{target['name']}: says replicas, and so does its HorizontalPodAutoscaler")
        if not 1 <= spec["minReplicas"] < spec["maxReplicas"]:
            wrong.append(f"{target['name']}: scales from {spec['minReplicas']} to {spec['maxReplicas']}")
        least[target["name"]] = spec["minReplicas"]
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        spec = budget["spec"]
        chosen = [one.name for one in workloads(manifests) if selects(spec["selector"], one.labels)]
        if len(chosen) != 1:
            wrong.append(f"PodDisruptionBudget {budget['metadata']['name']}: selects {len(chosen)} workloads")
            continue
        have = least[chosen[0]]
        may_go = spec["maxUnavailable"] if "maxUnavailable" in spec else have - spec["minAvailable"]
        if not 1 <= may_go < have:
            wrong.append(
                f"{chosen[0]}: {may_go} of {have} pods may be taken away: either no node can be emptied, or all go"
            )
    return wrong + [told for one in workloads(manifests) for told in _places(one)]


def _places(one: Workload) -> Iterator[str]:
    """Pods that would find no node, though there are nodes."""
    for spread in one.pod.get("topologySpreadConstraints", []):
        if spread["whenUnsatisfiable"] == "DoNotSchedule":
            if spread.get("nodeTaintsPolicy") != "Honor":
                yield f"{one.name}: nodes that take no pod of it count as empty ones"
            if "pod-template-hash" not in spread.get("matchLabelKeys", []):
                yield f"{one.name}: pods that are being replaced count where their successors go"
    devices = [name for container in one.containers for name in container["resources"]["limits"] if "/" in name]
    surge = one.manifest["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge")
    if devices and one.manifest["kind"] == "Deployment" and surge != 0:
        yield f"{one.name}: waits for a second {devices[0]} before the first one is free"


def monitoring(manifests: list[Manifest]) -> list[str]:
    """What the Prometheus operator reads: one Service by its labels, a port of it by name, rules that are rules."""
    wrong = []
    for monitor in of_kind(manifests, "ServiceMonitor"):
        spec = monitor["spec"]
        chosen = [
            one for one in of_kind(manifests, "Service") if selects(spec["selector"], one["metadata"].get("labels", {}))
        ]
        if len(chosen) != 1:
            wrong.append(f"ServiceMonitor: selects {len(chosen)} Services: each pod is to be scraped once")
        for one in chosen:
            ports = {port["name"] for port in one["spec"]["ports"]}
            wrong += [f"ServiceMonitor: no port {end['port']}" for end in spec["endpoints"] if end["port"] not in ports]
            wrong += [f"ServiceMonitor: {end['path']}" for end in spec["endpoints"] if end.get("path") != "/metrics"]
    for rules in of_kind(manifests, "PrometheusRule"):
        for group in rules["spec"]["groups"]:
            for rule in group["rules"]:
                if ("alert" in rule) == ("record" in rule) or not str(rule.get("expr", "")).strip():
                    wrong.append(f"PrometheusRule {group['name']}: neither an alert nor a record: {sorted(rule)}")
    return wrong


@cache
def quantity(text: str) -> float:
    """Of Kubernetes, in bytes or processors."""
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]*)", str(text)).groups()
    units = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    return float(number) * units[unit]
