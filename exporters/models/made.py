"""What training gives: a contract, a trained model, and everything that was predicted for rows it has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Table
from exporters.models.blend import Blend
from exporters.models.calibrated import CalibratedForest
from serving.contract import Contract

Tensors = Mapping[str, NDArray[Any]]
"""Tensors of a graph by name: `features` float32[n, F], `history` float32[n, T, K]; or its outputs."""


class Trained(Protocol):
    """A trained model. It has seen what the gateway's own kernel makes of the rows, and nothing else."""

    def answers(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """The graph's outputs as the libraries that trained it compute them: what every export is held to."""
        ...

    def exportable(self) -> CalibratedForest | Blend:
        """The model as flat arrays."""
        ...


@dataclass(frozen=True)
class Made:
    """A trained model with its contract, and what it and its rivals said of held-out rows."""

    contract: Contract
    trained: Trained
    held_out: Table
    """Rows of other people, and of later months where the data has months."""
    candidates: Mapping[str, Mapping[str, NDArray[np.float32]]]
    """Name -> probabilities by output tensor for the held-out rows, in the order in which the card shows them:
    `probabilities` float32[n, C] of a classifier; `probability_3m` and `probability_6m` float32[n] of attrition."""
    published: str
    """The candidate that is published."""
    curve: tuple[tuple[int, float], ...] = ()
    """Learning curve: rows trained on, and the score on the held-out rows that `curve_score` names."""
    curve_score: str = ""
    notes: tuple[str, ...] = ()
    """Sentences for the card about how the published model was chosen."""
