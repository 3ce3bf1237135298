"""Plain-text tables whose columns line up, also with Chinese in them."""

from collections.abc import Iterable, Sequence
from unicodedata import east_asian_width


def width(text: str) -> int:
    """Columns that a terminal gives to a text (Unicode Standard Annex 11)."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def lines(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Header, rule and rows; `right` says which columns are aligned to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(width(row[number]) for row in table) for number in range(len(header))]
    made = []
    for row in table:
        cells = []
        for text, size, to_the_right in zip(row, widths, right, strict=True):
            space = " " * (size - width(text))
            cells.append(space + text if to_the_right else text + space)
        made.append("  ".join(cells).rstrip())
    made.insert(1, "  ".join("-" * size for size in widths))
    return made
