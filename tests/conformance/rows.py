"""Raw rows for any model, drawn from its contract.json: missing cells, extremes, unknown and Chinese texts."""

import json
from pathlib import Path

import numpy as np

Columns = dict[str, np.ndarray | list[str]]

UNKNOWN = ("火星基地", "elsewhere", "É-☃")


def draw(version: Path, n: int, seed: int = 7) -> Columns:
    """n rows: numbers as float64 with NaN where missing, categories as texts with "" where missing."""
    random = np.random.default_rng(seed)
    columns: Columns = {}
    for raw in json.loads((version / "contract.json").read_text("utf-8"))["inputs"]:
        missing = (random.random(n) < 0.15) & (not raw.get("required", False))
        if raw["type"] == "category":
            drawn = random.choice(np.array([*raw["categories"], *UNKNOWN]), n)
            columns[raw["name"]] = ["" if gone else str(name) for name, gone in zip(drawn, missing, strict=True)]
        else:
            low = raw.get("low") or 0.0
            high = raw.get("high") or 100.0
            columns[raw["name"]] = np.where(missing, np.nan, random.uniform(low, high, n))
    return columns


def golden(version: Path) -> tuple[Columns, np.ndarray]:
    """The golden raw rows of a version, and the features made from them."""
    with np.load(version / "golden.npz") as arrays:
        columns: Columns = {}
        for name in arrays:
            if name.startswith("raw."):
                cells = arrays[name]
                columns[name[4:]] = cells.tolist() if cells.dtype.kind == "U" else cells
        return columns, arrays["features"]


def split(columns: Columns, size: int) -> list[Columns]:
    """The same rows, `size` at a time."""
    n = len(next(iter(columns.values())))
    return [{name: cells[at : at + size] for name, cells in columns.items()} for at in range(0, n, size)]
