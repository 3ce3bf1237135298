"""Which backends the settings choose: the servers that are asked, and how versions get theirs."""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path

from serving.backends.backend import Proof
from serving.backends.remote.remote import RemoteBackend
from serving.backends.remote.servers import Servers
from serving.backends.remote.tf_serving import TfServing
from serving.backends.remote.triton import Triton
from serving.contract import Contract
from serving.errors import SettingsError
from serving.repository.making import Making, Remote
from serving.settings import Settings, environment_name

CODECS = {"triton": Triton, "tf_serving": TfServing}


def servers(settings: Settings) -> dict[str, Servers]:
    """The servers that models are executed at, by the name of the backend."""
    addresses = {"triton": settings.triton_address, "tf_serving": settings.tf_serving_address}
    authorities = authorities_in(settings.backend_ca_file)
    return {
        name: Servers(address, authorities, setting=environment_name(f"{name}_address"))
        for name, address in addresses.items()
        if address
    }


def authorities_in(path: str) -> Path | None:
    """The file of certificates, looked into. Raises SettingsError."""
    name, expected = "EPM_BACKEND_CA_FILE", "a file of certificates in PEM"
    if not path:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise SettingsError(f"{name}: got a file without certificates, expected {expected}", field=name) from None
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}, expected {expected}", field=name) from error
    return Path(path)


def check_device(settings: Settings) -> None:
    """Raises SettingsError where CUDA is demanded of an onnxruntime that has none."""
    if settings.device != "cuda":
        return
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        name, expected = "EPM_DEVICE", "auto or cpu: this onnxruntime has no CUDA (it comes with onnxruntime-gpu)"
        raise SettingsError(f"{name}: got cuda, expected {expected}", field=name)


def at_server(
    name: str, servers: Servers, contract: Contract, version: int, proof: Proof, timeout: float
) -> RemoteBackend:
    """The backend of that name for one version. timeout: seconds for one try."""
    return RemoteBackend(CODECS[name](), servers, contract.model, version, contract.graph_outputs(), proof, timeout)


def making(settings: Settings, servers: Mapping[str, Servers]) -> Making:
    """How versions get their backends. Called on the event loop. Raises SettingsError."""
    check_device(settings)
    timeout = settings.backend_timeout_seconds

    def remote(name: str) -> Remote:
        return lambda contract, version, proof: at_server(name, servers[name], contract, version, proof, timeout)

    return Making(
        order=lambda model: settings.chosen("backends", model),
        shadow=lambda model: "".join(settings.chosen("shadow_backend", model)),
        threads=settings.intra_op_num_threads,
        device=settings.device,
        remote={name: remote(name) for name in servers},
        loop=asyncio.get_running_loop() if servers else None,
    )
