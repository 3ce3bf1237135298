"""What the suite knows of the served models: tensors and golden rows of the newest versions in a repository."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(os.environ.get("CONFORMANCE_MODELS") or Path(__file__).parents[3] / "model_repo")
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """One version.

    given: the graph's own inputs for n golden rows; raw: the columns that these were made from, which only the gateway
    takes; expected: what the trained model answered.
    """

    name: str
    version: int
    contract: dict[str, Any]
    given: Tensors
    raw: Tensors
    expected: Tensors

    @property
    def rows(self) -> int:
        return len(self.given["features"])

    def first(self, n: int) -> Tensors:
        """Inputs of the first n golden rows."""
        return {name: values[:n] for name, values in self.given.items()}

    def by_name(self) -> Tensors:
        """The same rows as the SavedModel's `serving_default` takes them: [n] a feature, [n, T] a column of months.

        TensorFlow's names have underscores where those of the contract have anything but letters and digits.
        """
        program = self.contract["program"]
        named = {name: self.given["features"][:, f] for f, name in enumerate(program["features"])}
        for k, name in enumerate(program.get("window", ())):
            named[name] = self.given["history"][:, :, k]
        return {re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_"): values for name, values in named.items()}


def load(name: str) -> Model:
    """The newest version of a model."""
    folder = max((path for path in (REPOSITORY / name).iterdir() if path.name.isdecimal()), key=lambda p: int(p.name))
    with np.load(folder / "golden.npz") as arrays:
        given = {"features": arrays["features"]} | ({"history": arrays["window"]} if "window" in arrays else {})
        raw = {key[4:]: _texts_as_bytes(arrays[key]) for key in arrays if key.startswith("raw.")}
        expected = {key[7:]: arrays[key] for key in arrays if key.startswith("output.")}
    contract = json.loads((folder / "contract.json").read_text("utf-8"))
    return Model(name, int(folder.name), contract, given, raw, expected)


def _texts_as_bytes(cells: np.ndarray) -> np.ndarray:
    """As both protocols send texts."""
    if cells.dtype.kind != "U":
        return cells
    return np.array([cell.encode() for cell in cells.tolist()], object)


NAMES = sorted(path.parent.name for path in REPOSITORY.glob("*/config.pbtxt"))
