"""The page about the online store is true: its commands and its example run, against a real Redis."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateways import gateway
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / "online-store.md").read_text(), re.S)


def test_the_commands_and_the_example_do_what_the_page_says(tmp_path: Path) -> None:
    start, use = blocks("sh")
    (example,) = blocks("python")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    secrets = "".join(line for line in start.splitlines(keepends=True) if line.startswith("openssl"))
    subprocess.run(["bash", "-ec", secrets], cwd=tmp_path, check=True)
    served = re.search(r"epm serve (.*) &", start)[1].split()
    assert served[0::2] == ["--redis-url", "--hash-key-file", "--facts-token-file"]
    settings = {"hash_key_file": tmp_path / served[3], "facts_token_file": tmp_path / served[5]}
    with RedisServer() as redis, gateway(ROOT / "model_repo", redis_url=redis.url, **settings) as at:
        epm = f'epm() {{ "{sys.executable}" -m serving.cli "$@"; }}\n'
        environment = {**os.environ, "EPM_ADDRESS": at.grpc, "PYTHONPATH": str(ROOT)}
        command = ["bash", "-ec", epm + use]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert "entities 200, rows 200, applied 200, rejected 0" in done.stdout
        assert "job_family" in done.stdout
        with redis.client() as client:
            assert len(client.keys("epm:facts:*")) == 199
        code = example.replace("localhost:8500", at.grpc)
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        grade, refusal = asked.stdout.splitlines()
        assert grade in "ABC"
        assert refusal == "nothing is stored of this entity"
