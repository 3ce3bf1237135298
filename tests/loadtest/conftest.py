"""Servers to put load on."""

import pytest

from loadtest import servers


@pytest.fixture(scope="package")
def echo():
    """The echo server, as the benchmark starts it."""
    with servers.echo() as server:
        yield server
