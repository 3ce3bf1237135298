"""Where model servers are: what a setting says, and the addresses its names stand for."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

from serving.errors import SettingsError

EXPECTED = "host:port[,host:port], with grpcs:// before it for TLS"
_PLAIN, _SECURE = "grpc://", "grpcs://"

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The IP addresses of a name; the port is the one that will be asked. Raises OSError."""


@dataclass(frozen=True)
class Address:
    """One IP address and port. name: what it was resolved from, empty for one that was given as it is."""

    ip: str
    port: int
    name: str = ""

    def __str__(self) -> str:
        return _joined(self.ip, self.port)

    @property
    def target(self) -> str:
        """As gRPC takes it, with nothing left to resolve."""
        return f"{'ipv6' if ':' in self.ip else 'ipv4'}:{self}"

    @property
    def authority(self) -> str:
        """How the server is called, to itself and in its certificate; empty where only its address is known."""
        return _joined(self.name, self.port) if self.name else ""


@dataclass(frozen=True)
class Target:
    """One setting: the places it names, and whether they are asked over TLS."""

    places: tuple[tuple[str, int], ...]
    secure: bool

    @classmethod
    def parse(cls, text: str, setting: str) -> "Target":
        """Raises SettingsError, which names the setting."""
        secure = text.startswith(_SECURE)
        rest = text.removeprefix(_SECURE if secure else _PLAIN)
        places = dict.fromkeys(_place(part.strip(), setting) for part in rest.split(","))
        return cls(tuple(places), secure)

    def __str__(self) -> str:
        return (_SECURE if self.secure else "") + ",".join(_joined(host, port) for host, port in self.places)


def is_literal(host: str) -> bool:
    """Whether it is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(host: str, port: int) -> list[str]:
    """All IP addresses that the system knows of a name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


def _place(part: str, setting: str) -> tuple[str, int]:
    host, colon, port = part.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    fits = colon and host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535
    if not fits or bracketed != (":" in host) or (bracketed and not is_literal(host)) or set(host) & set("/@[] "):
        raise SettingsError(f"{setting}: got {part[:100]!r}, expected {EXPECTED}", field=setting)
    return host, int(port)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
