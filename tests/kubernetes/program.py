"""What the program and its servers really have, asked of themselves: routes, flags, metrics, the image's settings."""

import re
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cache

import yaml

from tests.kubernetes.manifests import ROOT
from tests.support.triton import home

TF_SERVING_FLAGS = frozenset(
    ("port", "rest_api_port", "model_config_file", "enable_batching", "batching_parameters_file")
)
"""Of tensorflow_model_server (tensorflow_serving/model_servers/main.cc), which is on no package index."""


@dataclass(frozen=True)
class Program:
    """address: host:port of a running gateway's HTTP. metrics: names of its families and their series."""

    address: str
    metrics: frozenset[str]

    def answers(self, path: str) -> bool:
        """Whether the gateway has this path: anything but "not found"."""
        return status(self.address, path) != 404


def status(address: str, path: str) -> int:
    """Of a GET."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


@cache
def epm_flags() -> frozenset[str]:
    """Of `epm serve`, as its help says."""
    command = [sys.executable, "-m", "serving.cli", "serve", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=ROOT).stdout
    return frozenset(re.findall(r"^ +--([a-z-]+)", said, re.M))


@cache
def triton_flags() -> frozenset[str]:
    """Of the real tritonserver, as its help says."""
    libraries = home().parent.parent / "nvidia_pytriton.libs"
    command = [str(home() / "bin" / "tritonserver"), "--help"]
    environment = {"LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    return frozenset(re.findall(r"^\s+--([a-z0-9-]+)", done.stdout + done.stderr, re.M))


@cache
def dockerfile() -> str:
    """With lines that go on joined."""
    return (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")


@cache
def image_environment() -> dict[str, str]:
    """What the gateway's image sets."""
    (line,) = re.findall(r"^ENV (.*)$", dockerfile(), re.M)
    return dict(part.split("=", 1) for part in line.split())


@cache
def compose() -> dict:
    """compose.yaml, as it is."""
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
