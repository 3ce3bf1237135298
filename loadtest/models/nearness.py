"""How near a version comes to the best possible, on generated people whom nobody has seen, and how calibrated it is."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.cards.outcomes import outcomes, true_probabilities
from exporters.data.table import Table
from exporters.publishing import gate
from exporters.quality import measures
from exporters.quality.calibration import expected_calibration_error
from serving.repository.served import ServedModel
from serving.repository.versions import load_version

_CALL = 4096


def measure(folder: Path, table: Table) -> dict[str, Any]:
    """AUC, best possible AUC and calibration error of every output, as the gateway's features and backend answer.

    table: rows with their true probabilities; cells are missing as in training.
    """
    served = load_version(folder)
    said = _answers(served, table)
    true = true_probabilities(served.contract, table)
    if true is None:
        raise ValueError("a table of generated rows is needed: only there the true probabilities are known")
    best = {outcome.title.en: outcome for outcome in outcomes(served.contract, table, true)}
    found = []
    for outcome in outcomes(served.contract, table, said):
        auc = measures.auc(outcome.probability, outcome.happened)
        possible = measures.auc(best[outcome.title.en].probability, outcome.happened)
        found.append(
            {
                "output": outcome.title.en,
                "auc": round(auc, 4),
                "best_possible_auc": round(possible, 4),
                "gap": round(possible - auc, 4),
                "calibration_error": round(expected_calibration_error(outcome.probability, outcome.happened), 4),
            }
        )
    return {"rows": len(table), "outputs": found}


def _answers(served: ServedModel, table: Table) -> dict[str, NDArray[np.float32]]:
    """Outputs of all rows, asked for in calls of a size that the gateway takes."""
    calls = [slice(start, start + _CALL) for start in range(0, len(table), _CALL)]
    parts = [gate.answer(served, {name: cells[rows] for name, cells in table.columns.items()}) for rows in calls]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
