"""`epm score`, from its options to its exit status."""

import argparse
import logging
import sys
import warnings
from pathlib import Path

from serving.batch import options as chosen
from serving.batch.inputs import Layout
from serving.batch.model import load
from serving.batch.run import Run
from serving.errors import EpmError, SettingsError
from serving.settings import Settings

MOST_CHUNK_ROWS = 1 << 20


def score(given: argparse.Namespace) -> int:
    """Run the command. 0; 130 when it was interrupted. Raises EpmError, OSError."""
    options = _options(given)
    settings = Settings.read({} if given.model_repo is None else {"model_repo": given.model_repo})
    logging.basicConfig(level="WARNING", stream=sys.stderr, format="%(message)s")
    warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of values that are checked and refused by name
    backends = () if given.backend is None else (given.backend,)
    served = load(Path(settings.model_repo), given.model, given.model_version, backends, settings)
    run = Run(options, served)
    try:
        state = run.score()
    except KeyboardInterrupt:
        print(f"epm: interrupted: {run.finished()}", file=sys.stderr)
        return 130
    except EpmError as error:
        raise EpmError(f"{error.message}; {run.finished()}" if run.state is not None else error.message) from error
    except OSError as error:
        if run.state is None:
            raise
        raise EpmError(f"{error.filename or options.out}: {error.strerror or error}; {run.finished()}") from error
    if not state.rows + state.rejected:
        print(f"epm: {options.file} has no rows", file=sys.stderr)
    without = f", {state.rejected:,} without one: {options.rejected}" if state.rejected else ""
    print(f"{state.rows:,} rows have an answer: {options.out}{without}")
    return 0


def _options(given: argparse.Namespace) -> chosen.Options:
    """Raises SettingsError."""
    if not 1 <= given.chunk_rows <= MOST_CHUNK_ROWS:
        raise SettingsError(f"--chunk-rows: got {given.chunk_rows}, expected 1 to {MOST_CHUNK_ROWS}")
    if given.month and not given.id:
        raise SettingsError("--month: got a column, but no --id, expected both: an id says whose months they are")
    file_format = chosen.file_format(given.file, given.format)
    out, out_format = chosen.output(given.file, given.out, file_format, given.out_format)
    if out.is_dir() or not out.name:
        raise SettingsError("--out: got a folder, expected a file")
    options = chosen.Options(
        file=given.file,
        out=out,
        file_format=file_format,
        out_format=out_format,
        layout=Layout(given.id, given.month),
        skip_bad=given.skip_bad,
        restart=given.restart,
        overwrite=given.overwrite,
        chunk_rows=given.chunk_rows,
    )
    for path in (out, options.rejected):
        if given.file != chosen.STANDARD_INPUT and path.exists() and path.samefile(given.file):
            raise SettingsError("--out: got the file itself or its OUT.rejected.csv, expected another one")
    return options
