"""What an input is worth to a model that has no splits to count."""

from collections.abc import Callable

import numpy as np

from exporters.models import inputs
from exporters.models.inputs import FEATURES, HISTORY
from exporters.models.made import Tensors
from serving.contract import Contract


def permutation(contract: Contract, tensors: Tensors, loss: Callable[[Tensors], float], seed: int) -> dict[str, float]:
    """Raw input -> how much a model's loss grows when the values made of it are dealt out to other rows.


    Source: Fisher, Rudin & Dominici 2019, "All models are wrong, but many are useful" (permutation importance).
    """
    dealt = np.random.default_rng(seed).permutation(len(tensors[FEATURES]))
    source, program = inputs.sources(contract), contract.program
    owners: dict[str, list[str | None]] = {
        FEATURES: [source[value] for value in program.features],
        HISTORY: [source.get(value) for value in program.window],  # the mask belongs to no one
    }
    best, found = loss(tensors), {}
    for raw in contract.inputs:
        spoilt = {name: values.copy() for name, values in tensors.items()}
        for name in tensors:
            mine = [place for place, owner in enumerate(owners[name]) if owner == raw.name]
            spoilt[name][..., mine] = tensors[name][dealt][..., mine]
        found[raw.name] = max(loss(spoilt) - best, 0.0)
    return found
