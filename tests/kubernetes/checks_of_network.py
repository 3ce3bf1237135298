"""Who may talk to whom."""

from urllib.parse import urlsplit

from tests.kubernetes.checks_of_program import settings_of
from tests.kubernetes.manifests import Manifest, named, workload, workloads
from tests.kubernetes.network import APPLICATION, NAMES, PROMETHEUS, STRANGER, here, may_enter, may_leave


def flows(manifests: list[Manifest]) -> list[str]:
    """The gateway reaches whom its environment names, callers and Prometheus reach it, nobody reaches anybody else."""
    wrong, gateway, chosen = [], workload(manifests, "gateway"), settings_of(manifests)
    addresses = [
        address.rpartition("://")[2]
        for setting in (chosen.triton_address, chosen.tf_serving_address)
        for address in setting.split(",")
    ]
    addresses += [urlsplit(url).netloc.rpartition("@")[2] for url in (chosen.redis_url, chosen.cache_redis_url)]
    for address in filter(None, addresses):
        host, _, port = address.partition(":")
        service, target = named(manifests, "Service", host), workload(manifests, host)
        if not service or not target or int(port) not in {one["port"] for one in service["spec"]["ports"]}:
            wrong.append(f"{address}: no Service has that name and port")
        elif not may_leave(manifests, gateway, here(target), int(port)):
            wrong.append(f"{address}: no policy lets the gateway ask it")
        elif not may_enter(manifests, here(gateway), target, int(port)):
            wrong.append(f"{address}: no policy of it lets the gateway in")
    if not may_leave(manifests, gateway, NAMES, 53):
        wrong.append("gateway: cannot ask for names")
    for peer, port, whom in (
        (APPLICATION, chosen.grpc_port, "an application"),
        (PROMETHEUS, chosen.http_port, "Prometheus"),
    ):
        if not may_enter(manifests, peer, gateway, port):
            wrong.append(f"gateway: {whom} does not reach port {port}")
    for one in workloads(manifests):
        others = [STRANGER] if one.name == "gateway" else [STRANGER, APPLICATION]
        wrong += [
            f"{one.name}: anybody may ask it"
            for peer in others
            for port in one.ports.values()
            if may_enter(manifests, peer, one, port)
        ]
        if may_leave(manifests, one, STRANGER, 443):
            wrong.append(f"{one.name}: may send to anybody")
    return wrong
