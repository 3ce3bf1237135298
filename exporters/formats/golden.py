"""The golden rows of a version: raw inputs, what the program makes of them, and what the trained model answered.

`golden.npz` holds, without pickles, for m rows: `raw.<input>` (float64[m] with NaN, of a history float64[m, T], or
str[m] with "" for missing), `features` (float32[m, F]), `window` (float32[m, T, K], where the program makes one) and
`output.<tensor>` for every output of the graph (as `output.probabilities` float32[m, C], `output.label` int32[m]).
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells
from exporters.errors import PublishError
from serving.contract import Contract
from serving.features.program import Features

ROWS = 256
Arrays = dict[str, NDArray[Any]]


def arrays(columns: Mapping[str, Cells], made: Features, outputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Name the arrays of m rows as they stand in the file. made: what the program makes of `columns`."""
    raw = {f"raw.{name}": cells for name, cells in columns.items()}
    window = {"window": made.window} if len(made.window) else {}
    return {**raw, "features": made.features, **window, **{f"output.{name}": v for name, v in outputs.items()}}


def to_bytes(named: Arrays) -> bytes:
    """The same arrays always give the same bytes (a zip entry without a time of its own says 1980)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in named.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.ascontiguousarray(values), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.getvalue())
    return out.getvalue()


def load(path: Path, contract: Contract) -> Arrays:
    """Read a golden file. Raises PublishError when it is unreadable or not what `contract` calls for."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            named = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise PublishError(f"golden.npz: {error}") from error
    wanted = {f"raw.{raw.name}" for raw in contract.inputs} | {"features"}
    wanted |= {f"output.{tensor}" for tensor in contract.graph_outputs()}
    wanted |= {"window"} if contract.program.window else set()
    if set(named) != wanted:
        raise PublishError(f"golden.npz: arrays missing or too many: {', '.join(sorted(set(named) ^ wanted))}")
    rows = {len(values) if values.ndim else 0 for values in named.values()}
    if len(rows) != 1 or 0 in rows:
        raise PublishError(f"golden.npz: arrays of {sorted(rows)} rows, expected as many in each, and some")
    return named


def raw_columns(named: Arrays) -> dict[str, Cells]:
    """The raw inputs in `named`, by name."""
    return _of(named, "raw.")


def outputs(named: Arrays) -> dict[str, NDArray[Any]]:
    """The graph's outputs in `named`, by name."""
    return _of(named, "output.")


def made(named: Arrays) -> Features:
    """What the program made of the raw inputs in `named`."""
    return Features(named["features"], named.get("window", np.empty((0, 0, 0), np.float32)))


def _of(named: Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): values for name, values in named.items() if name.startswith(prefix)}
