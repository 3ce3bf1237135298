"""What a model said of held-out rows beside what came true: one outcome a class, or one a horizon."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Table
from serving.contract import ClassOutput, Contract, ProbabilityOutput, Text

Said = Mapping[str, NDArray[np.float32]]
"""Probabilities by output tensor, as `Made.candidates` has them."""


@dataclass(frozen=True)
class Outcome:
    """An event that happens in some of n rows, and what the model said of it."""

    title: Text
    happened: NDArray[np.bool_]
    probability: NDArray[np.float32]
    selected: NDArray[np.bool_] | None
    """Rows whose label says that it happens; None where no label speaks of it."""

    def labelled(self) -> NDArray[np.bool_]:
        """`selected`. Raises ValueError where no label speaks of it."""
        if self.selected is None:
            raise ValueError(f"no label says whether {self.title.en!r} happens")
        return self.selected


@dataclass(frozen=True)
class Decisions:
    """Counts of labels: rows of the truth, columns of the label."""

    truths: tuple[str, ...]
    labels: tuple[str, ...]
    counts: NDArray[np.float64]


def classes_of(contract: Contract) -> ClassOutput | None:
    """The output of classes; None for a model of probabilities."""
    return next((output for output in contract.outputs if isinstance(output, ClassOutput)), None)


def deciding(contract: Contract) -> ProbabilityOutput | None:
    """The output of probability that has a threshold; None where no threshold decides."""
    return next((o for o in contract.outputs if isinstance(o, ProbabilityOutput) and o.threshold is not None), None)


def outcomes(contract: Contract, held_out: Table, said: Said) -> list[Outcome]:
    """Of classes: each class against all others. Of probabilities: output k tells whether the class is k or before.

    (Outputs of probability are horizons that contain each other; classes of the table are the periods between them.)
    """
    classes = classes_of(contract)
    if classes:
        probabilities = said[classes.probabilities]
        label = probabilities.argmax(axis=1)
        return [
            Outcome(Text(name, name), held_out.target == c, probabilities[:, c], label == c)
            for c, name in enumerate(classes.classes)
        ]
    horizons = [output for output in contract.outputs if isinstance(output, ProbabilityOutput)]
    return [
        Outcome(
            output.title,
            held_out.target <= k,
            said[output.tensor],
            None if output.threshold is None else _flagged(output, said),
        )
        for k, output in enumerate(horizons)
    ]


def true_probabilities(contract: Contract, held_out: Table) -> Said | None:
    """What one would say who knows how the data was generated, in the same form; None where nobody knows."""
    true = held_out.true_probabilities
    if true is None:
        return None
    classes = classes_of(contract)
    if classes:
        return {classes.probabilities: true.astype(np.float32)}
    horizons = [output for output in contract.outputs if isinstance(output, ProbabilityOutput)]
    return {output.tensor: true[:, : k + 1].sum(axis=1).astype(np.float32) for k, output in enumerate(horizons)}


def decisions(contract: Contract, held_out: Table, said: Said) -> Decisions | None:
    """Truth against label: of classes each against each, of a threshold each class against flagged or not."""
    classes, output = classes_of(contract), deciding(contract)
    if classes:
        label, names = said[classes.probabilities].argmax(axis=1), classes.classes
    elif output:
        label, names = (~_flagged(output, said)).astype(np.int64), ("flagged", "not flagged")
    else:
        return None
    shape = len(held_out.classes), len(names)
    counts = np.bincount(held_out.target * shape[1] + label, minlength=shape[0] * shape[1]).reshape(shape)
    return Decisions(held_out.classes, names, counts.astype(np.float64))


def _flagged(output: ProbabilityOutput, said: Said) -> NDArray[np.bool_]:
    """As the graph decides: float32 against float32. The output has a threshold."""
    return np.asarray(said[output.tensor] >= np.float32(output.threshold or 0))
