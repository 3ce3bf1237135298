"""Ready tensors are held to what the contract says of them."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from serving.errors import InvalidInput
from serving.repository.versions import load_version
from tests.support.models import write_version

pytestmark = pytest.mark.unit


def test_nan_in_a_ready_tensor_is_refused_unless_the_graph_was_trained_to_read_it(tmp_path: Path) -> None:
    served = load_version(write_version(tmp_path))
    features = {"features": np.full((1, 8), np.nan)}
    with pytest.raises(InvalidInput, match="features: got NaN"):
        served.check_ready(features, max_rows=10)
    tensors = tuple(msgspec.structs.replace(tensor, missing_allowed=True) for tensor in served.contract.tensors)
    contract = msgspec.structs.replace(served.contract, tensors=tensors)
    tolerant = dataclasses.replace(served, contract=contract)
    assert np.isnan(tolerant.check_ready(features, max_rows=10)["features"]).all()
