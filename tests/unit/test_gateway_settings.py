"""What can be wrong with settings only where files and libraries are looked at: told at start, under the right name."""

import asyncio
from pathlib import Path

import pytest

from serving.errors import SettingsError
from serving.gateway import Gateway
from serving.settings import Settings

pytestmark = pytest.mark.unit


def refused(**settings: object) -> SettingsError:
    """Why a gateway with these settings does not start."""

    async def make() -> None:
        Gateway(Settings(**settings))

    with pytest.raises(SettingsError) as error:
        asyncio.run(make())
    return error.value


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("no certificate", "without certificates")])
def test_a_file_of_authorities_that_holds_none(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    error = refused(backends="triton", triton_address="grpcs://localhost:1", backend_ca_file=str(path))
    assert error.field == "EPM_BACKEND_CA_FILE"
    assert said in error.message


def test_cuda_where_onnxruntime_has_none() -> None:
    """The onnxruntime of the tests computes on processors only."""
    error = refused(device="cuda")
    assert error.field == "EPM_DEVICE"
    assert "onnxruntime-gpu" in error.message
