"""Time to leave and room to work: sums of what manifests say against what settings and measurements say."""

import json

from tests.kubernetes.checks_of_program import redis_conf, settings_of
from tests.kubernetes.checks_of_shape import quantity
from tests.kubernetes.manifests import ROOT, Manifest, of_kind, workload, workloads

LEAVING_SECONDS = 5
"""What a gateway takes after its drain: at most 2 s each for gRPC's and HTTP's connections, and a little."""
TO_SPARE_SECONDS = 5
RESOLVED_AGAIN_SECONDS = 10 + 5
"""A gateway resolves names every ten seconds, and the cluster's names may be five seconds old."""


def drain(manifests: list[Manifest]) -> list[str]:
    """Each pod has the time for what it does between "leave" and the end."""
    wrong = []
    for one in workloads(manifests):
        waits = one.main.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if one.name == "gateway":
            needs = waits + settings_of(manifests).drain_seconds + LEAVING_SECONDS
        else:
            needs = waits + float(one.flag("exit-timeout-secs") or 0)
        grace = one.pod.get("terminationGracePeriodSeconds", 30)
        if needs + TO_SPARE_SECONDS > grace:
            wrong.append(f"{one.name}: needs {needs:g} s and {TO_SPARE_SECONDS} to spare, gets {grace}")
        if one.name == "gateway" and waits < 5:
            wrong.append("gateway: endpoints have no time to hear that it leaves")
        if one.name in ("triton", "tf-serving") and waits < RESOLVED_AGAIN_SECONDS:
            wrong.append(f"{one.name}: gateways may still ask for it after {waits} s")
    return wrong


def resources(manifests: list[Manifest]) -> list[str]:
    """The gateway asks for what was measured, and may have what its settings let it grow to."""
    bench, soak = (
        json.loads((ROOT / "loadtest" / "results" / f"{name}.json").read_text()) for name in ("bench", "soak")
    )
    loaded = max(one["loaded_mib"] for one in bench["starts"] if one["server"] == "gateway") * 2**20
    loaded = max(loaded, max(kib for _, kib in soak["memory"]) * 2**10)
    used = max(run["cpu_share"] for run in bench["runs"] if run["server"] == "gateway" and run["kind"] == "closed")
    started = max(one["seconds"] for one in bench["starts"] if one["server"] == "gateway")
    gateway, chosen, wrong = workload(manifests, "gateway"), settings_of(manifests), []
    asked, most = (gateway.main["resources"][kind] for kind in ("requests", "limits"))
    grows = chosen.replica_bytes + chosen.cache_bytes * len(list((ROOT / "model_repo").glob("*/*/contract.json")))
    if quantity(asked["memory"]) < loaded:
        wrong.append(f"memory: asks for {asked['memory']}, used {loaded / 2**20:.0f} MiB under load")
    if quantity(most["memory"]) < loaded + grows:
        wrong.append(f"memory: at most {most['memory']}, may grow to {(loaded + grows) / 2**20:.0f} MiB")
    if of_kind(manifests, "HorizontalPodAutoscaler") and quantity(asked["cpu"]) < round(used, 1):
        wrong.append(f"cpu: asks for {asked['cpu']}, used {used:.1f} under load")
    if quantity(most["cpu"]) < min(2, 1 + chosen.worker_threads):
        wrong.append(f"cpu: at most {most['cpu']}, and it computes in {1 + chosen.worker_threads} threads")
    probe = gateway.main["startupProbe"]
    if probe["periodSeconds"] * probe["failureThreshold"] < 5 * started:
        wrong.append(f"startup: gets too little time, a warm start took {started:.1f} s")
    redis = workload(manifests, "redis")
    if quantity(redis.main["resources"]["limits"]["memory"]) < 1.5 * _bytes(redis_conf(manifests)["maxmemory"]):
        wrong.append("redis: its limit leaves no room beside maxmemory")
    return wrong


def _bytes(text: str) -> int:
    """Of redis.conf: 1gb is 2**30."""
    return int(text[:-2]) * {"kb": 2**10, "mb": 2**20, "gb": 2**30}[text[-2:]]
