"""Pieces of a generated Markdown page: paragraphs, cells of a table, a median with its spread."""

import statistics
import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 120


def wrapped(*pieces: str) -> str:
    """One paragraph, or one item of a list when it begins with `- `."""
    text = " ".join(pieces)
    return textwrap.fill(text, WIDTH, subsequent_indent="  " * text.startswith("- "), break_on_hyphens=False)


def cells(texts: Iterable[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(texts)} |"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table; its first `texts` columns are words, the others figures."""
    rule = f"|{'---|' * texts}{'---:|' * (len(heads) - texts)}"
    return "\n".join([cells(heads), rule, *(cells(row) for row in rows)])


def spread(values: Sequence[float], form: str) -> str:
    """The median, with the smallest and the largest where there are several. form: as for `format`."""
    middle = format(statistics.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}}..{max(values):{form}})"
