"""`python -m exporters.public`: measure the public tables and write their section of docs/models.md."""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from exporters.errors import DataError
from exporters.public.algorithms import ALL
from exporters.public.report import page_section, replaced, results
from exporters.public.tables import TABLES


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when the page was written, 1 when the data or the page cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m exporters.public", description=__doc__)
    parser.add_argument(
        "--data-dir", type=Path, default=Path("../shared/data"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--page", type=Path, default=Path("docs/models.md"), metavar="FILE.md", help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    try:
        write(options.data_dir, options.page)
    except DataError as error:
        print(f"exporters.public: {error.message}", file=sys.stderr)
        return 1
    return 0


def write(data_dir: Path, page: Path) -> None:
    """Measure everything, one fold a processor, and put it in its place. Raises DataError."""
    text = page.read_text("utf-8")
    replaced(text, "")  # refuse before the long part
    datasets = {name: table.load(data_dir) for name, table in TABLES.items()}
    processors = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(processors, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [(table, results(table, datasets[name], ALL, pool.map)) for name, table in TABLES.items()]
    page.write_text(replaced(text, page_section(found)), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
