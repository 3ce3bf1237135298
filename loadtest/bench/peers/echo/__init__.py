"""Bare grpc.aio on uvloop, in an environment of its own."""

import shutil
from pathlib import Path

from loadtest import echo_server
from loadtest.bench.peer import Launch, Peer, Setting, free_ports
from loadtest.bench.wires import ECHO


def launch(setting: Setting) -> Launch:
    """The echo server of the other studies, as a plain file."""
    program = setting.folder / "echo_server.py"
    shutil.copy(Path(echo_server.__file__), program)
    (port,) = free_ports(1)
    return Launch([setting.python, str(program), str(port)], {"grpc": f"127.0.0.1:{port}"})


PEER = Peer(
    name="echo",
    title="bare grpc.aio echo",
    note="`loadtest/echo_server.py` gives every message back untouched, on uvloop: what this transport costs.",
    launch=launch,
    wires=(ECHO,),
    environment="echo",
    versions=("grpcio", "uvloop"),
)
