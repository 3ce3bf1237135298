"""Finished parts become the output: put together beside its place, then renamed into it."""

import shutil

from serving.batch import csv_sink, parquet_sink
from serving.batch.files import create, finish, replace
from serving.batch.options import CSV, Options
from serving.batch.part import REJECTED
from serving.batch.partial import Partial, State
from serving.batch.tables import Table
from serving.errors import EpmError

ANSWERS, REJECTIONS = "answers", "rejected"


def check_free(options: Options) -> None:
    """Raises EpmError where something would be lost."""
    for path in (options.out, options.rejected) if options.skip_bad else (options.out,):
        if path.exists() and not options.overwrite:
            raise EpmError(f"{path} is there already: --overwrite replaces it")


def merge(options: Options, partial: Partial, state: State, id_column: str, place: str, outline: Table) -> None:
    """All parts as one file, and what was rejected as another. place: "line" or "row"."""
    put_together = csv_sink.merge if options.out_format == CSV else parquet_sink.merge
    answers = [partial.part(number) for number in range(state.parts)]
    finish(put_together(answers, partial.folder / ANSWERS, id_column, outline))
    if options.skip_bad:
        file = create(partial.folder / REJECTIONS)
        file.write((",".join((place, *REJECTED)) + "\n").encode())
        for number in range(state.parts):
            with partial.rejected(number).open("rb") as rejected:
                shutil.copyfileobj(rejected, file)
        finish(file)
    state.merged = True
    partial.save(state)


def move(options: Options, partial: Partial) -> None:
    """To its place, the output last. A run that was killed in here finds what is left to move."""
    if options.overwrite and not options.skip_bad:
        options.rejected.unlink(missing_ok=True)
    for name, target in ((REJECTIONS, options.rejected), (ANSWERS, options.out)):
        made = partial.folder / name
        if not made.exists():
            continue
        if target.exists() and not options.overwrite:
            raise EpmError(f"{target} is there already: --overwrite replaces it")
        replace(made, target)
    partial.remove()
