"""Rows of people whom the committed models were not trained on, as the models' graphs take them."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from exporters.data import attrition, synthetic
from serving.contract import HistoryInput
from serving.repository.served import ServedModel
from serving.repository.versions import load_version

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repo"


def table(text: str) -> list[dict[str, str]]:
    """Lines of a CSV file by name."""
    return list(csv.DictReader(io.StringIO(text)))


def facts(model: str, people: int, seed: int) -> tuple[str, str]:
    """Two CSV files about the same people: one line each, and one line a month (empty for grades)."""
    if model == "performance_model":
        return synthetic.sample_csv(people, seed), ""
    return attrition.static_csv(people, seed), attrition.facts_csv(people, seed)


def columns(served: ServedModel, one_each: str, by_month: str) -> dict[str, Any]:
    """Raw columns by name, as somebody would send them who reads the files of `facts` himself."""
    lines, months = table(one_each), table(by_month)
    ids = [line["employee"] for line in lines]
    found: dict[str, Any] = {}
    for raw in served.contract.inputs:
        if isinstance(raw, HistoryInput):
            found[raw.name] = _history(months, raw.name, ids)
            continue
        cells = [line[raw.name] for line in lines]
        numbers = not hasattr(raw, "categories")
        found[raw.name] = np.array([float(cell) if cell else np.nan for cell in cells]) if numbers else cells
    return found


def graph_inputs(model: str, people: int, seed: int) -> tuple[ServedModel, dict[str, np.ndarray]]:
    """A committed model and n rows of ready tensors for it."""
    served = load_version(REPOSITORY / model / "1")
    rows = served.schema.assemble(columns(served, *facts(model, people, seed)), people)
    return served, served.graph_tensors(served.program.run(rows))


def _history(lines: list[dict[str, str]], name: str, ids: list[str]) -> np.ndarray:
    """float64[n, 12], the newest month last."""
    cells: dict[str, list[str]] = {entity: [] for entity in ids}
    for line in lines:
        cells[line["employee"]].append(line[name])
    out = np.full((len(ids), 12), np.nan)
    for row, mine in enumerate(cells.values()):
        out[row, 12 - len(mine) :] = [float(cell) if cell else np.nan for cell in mine]
    return out
