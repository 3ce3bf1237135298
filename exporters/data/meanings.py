"""What the columns of somebody's own table mean: what TOML says, else the schema where they bear its names."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

import msgspec

from exporters.data import protected, schema
from exporters.data import sheet as sheets
from exporters.data.schema import Column, Kind
from exporters.data.sheet import Sheet
from exporters.errors import DataError
from exporters.progress import say
from serving.contract import Text

_MOST_GROUPS = 12
_OLDEST = 120.0  # years


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of everything in a mapping: an unknown field is an error, so a slip of the pen is seen."""


class ColumnMeaning(Part, frozen=True):
    """What is known of an input; what is not said is the schema's for a column of that name, else inferred."""

    type: Kind | None = None
    title: Text | None = None
    unit: str | None = None
    low: float | None = None
    """Physical bounds, inclusive."""
    high: float | None = None
    required: bool | None = None


class Meanings(Part, frozen=True, kw_only=True):
    """What the mappings of all tables say. Columns that are not mentioned are inputs, save those set apart."""

    of_schema: ClassVar[Mapping[str, Column]] = {}
    """What columns mean that bear these names."""

    title: Text
    description: str = ""
    entity_type: str = "employee"
    sha256: str = ""
    """Digest of the one file that is meant; empty for any."""
    left_out: dict[str, str] = {}
    """Columns that are no input: name -> reason."""
    groups: dict[str, tuple[float, ...]] = {}
    """Columns left out whose groups the card compares: name -> lower bounds of bands, none for a category."""
    columns: dict[str, ColumnMeaning] = {}
    known_in_time: tuple[str, ...] = ()
    """Inputs that are known before the answer, however well they tell it."""

    def meaning(self, name: str) -> ColumnMeaning:
        """What is said of a column; what is not said comes from the schema where the column bears its name."""
        said, known = self.columns.get(name, ColumnMeaning()), self.of_schema.get(name)
        return said if known is None else _inherited(said, known)


Said = TypeVar("Said", bound=Meanings)


def load(path: Path, kind: type[Said]) -> Said:
    """Read a TOML file. Raises DataError with the path of the first field that is wrong."""
    try:
        said = msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:  # tomllib raises ValueError for bad TOML or UTF-8
        raise DataError(f"{path}: {error}") from error
    for name in said.groups:
        if name not in said.left_out:
            raise DataError(f"{path}: groups.{name}: only a column that is left out can be compared by")
    return said


def check(said: Meanings, of_rows: list[str], sheet: Sheet, where: Path) -> None:
    """Hold a mapping to its table. of_rows: columns that say what a row is.

    Raises DataError for another file than the one meant and for missing columns.
    """
    if said.sha256 and said.sha256 != sheet.sha256:
        raise DataError(
            f"{where}: sha256 is {sheet.sha256}, expected {said.sha256}: "
            "copies of this file differ, and its figures with them"
        )
    for name in (*of_rows, *said.left_out, *said.columns, *said.known_in_time):
        if name not in sheet.columns:
            raise DataError(f"{where}: no column {name!r}; the file has {', '.join(sheet.columns)}", field=name)


def check_names(known: Mapping[str, Column], needed: list[str], sheet: Sheet, where: Path) -> None:
    """Hold a table without a mapping to the names of a schema. known: the schema's columns; needed: names.

    Raises DataError for a column that is unknown, and when a needed one is missing.
    """
    missing = [name for name in needed if name not in sheet.columns]
    if missing:
        raise DataError(
            f"{where}: missing column {', '.join(map(repr, missing))}: expected the columns of `epm-export schema`, "
            f"or say with --mapping what yours mean; the file has {', '.join(sheet.columns)}",
            field=missing[0],
        )
    for name in sheet.columns:
        if name not in known and name not in needed:
            raise DataError(
                f"{where}: unknown column {name!r}: it is not in `epm-export schema`; use --mapping", field=name
            )
    absent = [name for name, column in known.items() if column.role == "input" and name not in sheet.columns]
    if absent:
        say(f"not in {where.name}, so no inputs of this model: {', '.join(absent)}")


def set_apart(said: Said, reasons: Mapping[str, str], mentioned: set[str | None], sheet: Sheet) -> Said:
    """The mapping with columns set apart that it does not mention: those of `reasons`, and protected attributes.

    Protected attributes are known by their names, gender also by its codes, and never inputs: a mapping that asks for
    one is refused with DataError when the table is read.
    """
    known = {name: protected.known(name, texts) for name, texts in sheet.columns.items()}
    of_names = {name: protected.reason(attribute) for name, attribute in known.items() if attribute}
    of_sheet = of_names | {name: why for name, why in reasons.items() if name in sheet.columns}
    mentioned = {*mentioned, *said.left_out, *said.columns}
    apart = {name: why for name, why in of_sheet.items() if name not in mentioned}
    return msgspec.structs.replace(
        said, left_out=said.left_out | apart, groups=said.groups | _compared(apart, known, sheet)
    )


def _compared(apart: Mapping[str, str], known: Mapping[str, str], sheet: Sheet) -> dict[str, tuple[float, ...]]:
    """Which of the columns set apart the card compares groups by: ages by bands, the others where groups are few.

    known: column -> protected attribute, or empty.
    """
    groups: dict[str, tuple[float, ...]] = {}
    for name in apart:
        attribute, texts = known[name], sheet.columns[name]
        if attribute == "age" and _in_years(texts):
            groups[name] = schema.AGE_BANDS
        elif attribute not in ("", "age") and len(set(texts)) <= _MOST_GROUPS:
            groups[name] = ()
    return groups


def _in_years(texts: list[str]) -> bool:
    """Whether cells of an age are years of life: no years of birth, months or codes."""
    return sheets.all_numbers(texts) and max(float(text) for text in texts if text) <= _OLDEST


def _inherited(said: ColumnMeaning, known: Column) -> ColumnMeaning:
    same_unit = said.unit in (None, known.unit)  # the schema's bounds are in its own unit, and mean nothing in another
    return ColumnMeaning(
        type=said.type or known.kind,
        title=said.title or known.title,
        unit=known.unit if said.unit is None else said.unit,
        low=known.low if said.low is None and same_unit else said.low,
        high=known.high if said.high is None and same_unit else said.high,
        required=known.required if said.required is None else said.required,
    )
