"""A gateway in this process that tests of one listener share; after each test nothing of it may be held."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.h2.in_process import Inside, inside

MAX_STREAMS, MAX_OPEN_CALLS, MAX_CONNECTIONS = 40, 60, 30


@pytest.fixture(scope="session")
def shared(small_repository: Path) -> Iterator[Inside]:
    """With small limits, see above."""
    limits = {"max_streams": MAX_STREAMS, "max_open_calls": MAX_OPEN_CALLS, "max_connections": MAX_CONNECTIONS}
    with inside(small_repository, **limits) as served:
        yield served


@pytest.fixture
def served(shared: Inside) -> Iterator[Inside]:
    """The same; what a test leaves behind is a mistake of the listener's."""
    yield shared
    assert shared.comes_to_rest(), shared.state()
