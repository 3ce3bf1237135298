"""Margins, against sorting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving import kernels

pytestmark = pytest.mark.unit


@settings(deadline=None)  # the first call may compile
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(2, 6)), elements=st.floats(0, 1, width=32)))
def test_the_margin_is_the_best_minus_the_second_best(probabilities: np.ndarray) -> None:
    margins = np.empty(len(probabilities), np.float32)
    kernels.top_margins(probabilities, margins)
    ordered = np.sort(probabilities, axis=1)
    assert np.array_equal(margins, ordered[:, -1] - ordered[:, -2])
