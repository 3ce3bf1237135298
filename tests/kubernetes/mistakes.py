"""A mistake that a person could make in a manifest, and how it is made in what kubectl rendered."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.kubernetes.manifests import Manifest, Workload, named, of_kind, workload

Check = Callable[..., list[str]]


@dataclass(frozen=True)
class Mistake:
    """What is done to the rendered objects of an overlay, the check, and a part of what the check says."""

    name: str
    check: Check
    says: str
    make: Callable[[list[Manifest]], object]
    overlay: str = "gpu"


def gateway(manifests: list[Manifest]) -> Workload:
    return pod(manifests, "gateway")


def pod(manifests: list[Manifest], name: str) -> Workload:
    found = workload(manifests, name)
    assert found is not None
    return found


def config(manifests: list[Manifest], start: str) -> dict[str, str]:
    return next(one["data"] for one in of_kind(manifests, "ConfigMap") if one["metadata"]["name"].startswith(start))


def spec(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = named(manifests, kind, name)
    assert found is not None
    return found["spec"]


def without(manifests: list[Manifest], kind: str, name: str) -> None:
    manifests.remove(named(manifests, kind, name))


def replace_word(manifests: list[Manifest], was: str, becomes: str) -> None:
    main = pod(manifests, "triton").main
    assert was in main["args"]
    main["args"] = [becomes if word == was else word for word in main["args"]]
