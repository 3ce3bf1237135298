"""What a run is asked for."""

from dataclasses import dataclass
from pathlib import Path

from serving.batch.inputs import Layout
from serving.errors import SettingsError

CSV, PARQUET = "csv", "parquet"
STANDARD_INPUT = "-"
_ENDINGS = {".csv": CSV, ".parquet": PARQUET, ".pq": PARQUET}


@dataclass(frozen=True)
class Options:
    """See `epm score --help`."""

    file: str
    out: Path
    file_format: str
    out_format: str
    layout: Layout
    skip_bad: bool = False
    restart: bool = False
    overwrite: bool = False
    chunk_rows: int = 16384

    @property
    def rejected(self) -> Path:
        """Where rows without an answer are listed."""
        return self.out.with_name(f"{self.out.name}.rejected.csv")


def file_format(path: str, chosen: str | None) -> str:
    """The format of the input. Raises SettingsError where nobody knows it."""
    if path == STANDARD_INPUT:
        if chosen == PARQUET:
            raise SettingsError("--format: got parquet, expected csv: standard input is read from front to back")
        return CSV
    return _format(path, chosen, "--format")


def output(path: str, out: str | None, file_format: str, chosen: str | None) -> tuple[Path, str]:
    """The output and its format; beside the input and like it when nothing is said. Raises SettingsError."""
    if out is None:
        if path == STANDARD_INPUT:
            raise SettingsError("--out: got nothing, expected a file: standard input has no name to go by")
        kind, source = chosen or file_format, Path(path)
        return source.with_name(f"{source.stem}.scored.{kind}"), kind
    return Path(out), _format(out, chosen, "--out-format")


def _format(path: str, chosen: str | None, option: str) -> str:
    found = chosen or _ENDINGS.get(Path(path).suffix.lower())
    if found is None:
        raise SettingsError(f"{path}: got a name without .csv or .parquet, expected one of them, or {option}")
    return found
