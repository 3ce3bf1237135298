"""A gateway that watches its repository closely."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.publishing import publish
from tests.support.gateways import Running, gateway


@dataclass(frozen=True)
class Watched:
    """A running gateway and the repository that it looks at five times a second."""

    at: Running
    root: Path


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Begins with one model, `base`; tests add models of their own."""
    root = tmp_path_factory.mktemp("watched") / "models"
    root.mkdir()
    publish(root, "base", 1, seed=0)
    with gateway(root, repository_poll_seconds=0.2) as running:
        yield Watched(running, root)
    log = "".join(running.log)
    assert "Traceback" not in log
    assert "defect" not in log
