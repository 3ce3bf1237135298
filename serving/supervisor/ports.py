"""A port that workers share: held by the supervisor, which never listens on it, so that nobody else gets it."""

import socket
from contextlib import ExitStack

Held = list[socket.socket]


def hold(what: str, host: str, port: int) -> tuple[Held, int]:
    """Hold a port of all addresses of `host`; the sockets to keep open, and the port (0: a free one is chosen).

    SO_REUSEPORT lets any process of the same user in, another gateway with workers as well. So each address is first
    taken without it, to listen, and shared only then. Raises OSError when somebody has it already.
    """
    with ExitStack() as kept:
        try:
            held: Held = []
            for family, address in _addresses(host):
                held.append(kept.enter_context(_hold(family, (address[0], port, *address[2:]))))
                port = held[0].getsockname()[1]
        except OSError as error:
            raise OSError(f"cannot listen for {what} on {host}:{port}: {error.strerror}") from error
        kept.pop_all()
    return held, port


def _hold(family: int, address: tuple[object, ...]) -> socket.socket:
    with _bound(family, address) as alone:
        alone.listen(1)
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one = _bound(family, alone.getsockname(), shared=True)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # this let it in, and would let in others
        return one


def _bound(family: int, address: tuple[object, ...], shared: bool = False) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not keep it
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(address)
    except BaseException:
        one.close()
        raise
    return one


def _addresses(host: str) -> list[tuple[int, tuple[object, ...]]]:
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))
