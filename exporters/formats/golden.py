"""The golden rows of a version: raw inputs, the features they give, and what the trained model itself answered.

`golden.npz` holds, without pickles, for m rows: `raw.<input>` (float64 with NaN, or str with "" for missing),
`features` (float32[m, F]) and `output.<tensor>` (float32[m, C] `output.probabilities`, int32[m] `output.label`).
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
from exporters.models.program import class_output
from serving.contract import Contract

ROWS = 256
Arrays = dict[str, NDArray[Any]]


def arrays(columns: Mapping[str, Cells], features: NDArray[np.float32], outputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Name the arrays of m rows as they stand in the file."""
    raw = {f"raw.{name}": cells for name, cells in columns.items()}
    return {**raw, "features": features, **{f"output.{name}": values for name, values in outputs.items()}}


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
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise PublishError(f"golden.npz: {error}") from error
    output = class_output(contract)
    wanted = {f"raw.{raw.name}" for raw in contract.inputs} | {"features"}
    wanted |= {f"output.{tensor}" for tensor in (output.probabilities, output.label)}
    if set(named) != wanted:
        raise PublishError(f"golden.npz: arrays missing or too many: {', '.join(sorted(set(named) ^ wanted))}")
    rows = {len(values) for values in named.values()}
    if len(rows) != 1 or 0 in rows:
        raise PublishError(f"golden.npz: arrays of {sorted(rows)} rows, expected as many in each, and some")
    return named


def raw_columns(named: Arrays) -> dict[str, Cells]:
    """The raw inputs in `named`, by name."""
    return {name.removeprefix("raw."): values for name, values in named.items() if name.startswith("raw.")}
