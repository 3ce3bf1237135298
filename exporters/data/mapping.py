"""What the columns of somebody's own table mean: what TOML says, else the schema where they bear its names."""

from pathlib import Path
from typing import Literal

import msgspec

from exporters.data import schema
from exporters.data.sheet import Sheet
from exporters.errors import DataError
from exporters.progress import say
from serving.contract import Text

_ID = "employee"
_NO_INPUT = {
    **schema.LEFT_OUT,
    "month": "identifier of the row",
    _ID: "identifier of the employee",
    schema.TARGET: "bears the name of the answer: as an input it would tell the model what to say",
}
_BANDS: dict[str, tuple[float, ...]] = {"gender": (), "age": schema.AGE_BANDS}
_SCHEMA = {column.name: column for column in schema.COLUMNS}


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of everything in a mapping: an unknown field is an error, so a slip of the pen is seen."""


class Target(_Part, frozen=True):
    """The column to learn, and its values -> classes. The class named first is the best one."""

    column: str
    values: dict[str, str]


class ColumnMeaning(_Part, frozen=True):
    """What is known of an input; what is not said is the schema's for a column of that name, else inferred."""

    type: Literal["number", "category"] | None = None
    title: Text | None = None
    unit: str | None = None
    low: float | None = None
    """Physical bounds, inclusive."""
    high: float | None = None
    required: bool | None = None


class Mapping(_Part, frozen=True):
    """The meaning of a table. Columns that are not mentioned are inputs, save those that `completed` sets apart."""

    target: Target
    id: str | None = None
    """Who a row belongs to: rows of one never stand on both sides of a split."""
    title: Text = Text("performance grade", "绩效等级")
    description: str = ""
    entity_type: str = "employee"
    sha256: str = ""
    """Digest of the one file that is meant; empty for any."""
    left_out: dict[str, str] = {}
    """Columns that are no input: name -> reason."""
    groups: dict[str, tuple[float, ...]] = {}
    """Columns left out whose groups the card compares: name -> lower bounds of bands, none for a category."""
    columns: dict[str, ColumnMeaning] = {}

    def meaning(self, name: str) -> ColumnMeaning:
        """What is said of a column; what is not said comes from the schema where the column bears its name."""
        said, known = self.columns.get(name, ColumnMeaning()), _SCHEMA.get(name)
        return said if known is None else _inherited(said, known)


def load(path: Path) -> Mapping:
    """Read a TOML file. Raises DataError with the path of the first field that is wrong."""
    try:
        mapping = msgspec.toml.decode(path.read_bytes(), type=Mapping)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:  # tomllib raises ValueError for bad TOML or UTF-8
        raise DataError(f"{path}: {error}") from error
    if len(set(mapping.target.values.values())) < 2:
        raise DataError(f"{path}: target.values: got one class, expected at least two")
    for name in mapping.groups:
        if name not in mapping.left_out:
            raise DataError(f"{path}: groups.{name}: only a column that is left out can be compared by")
    return mapping


def check(mapping: Mapping, sheet: Sheet, where: Path) -> None:
    """Hold a mapping to its table. Raises DataError for another file than the one meant and for missing columns."""
    if mapping.sha256 and mapping.sha256 != sheet.sha256:
        raise DataError(
            f"{where}: sha256 is {sheet.sha256}, expected {mapping.sha256}: "
            "copies of this file differ, and its figures with them"
        )
    named = [mapping.target.column, *([mapping.id] if mapping.id else []), *mapping.left_out, *mapping.columns]
    for name in named:
        if name not in sheet.columns:
            raise DataError(f"{where}: no column {name!r}; the file has {', '.join(sheet.columns)}", field=name)


def completed(mapping: Mapping, sheet: Sheet) -> Mapping:
    """The mapping with the schema's identifiers and attributes set apart: they are inputs only where it says so."""
    mentioned = {mapping.target.column, mapping.id, *mapping.left_out, *mapping.columns}
    apart = {name: why for name, why in _NO_INPUT.items() if name in sheet.columns and name not in mentioned}
    owner = mapping.id
    if owner is None and _ID in apart:
        owner = _ID
        del apart[_ID]
    return msgspec.structs.replace(
        mapping,
        id=owner,
        left_out=mapping.left_out | apart,
        groups=mapping.groups | {name: _BANDS[name] for name in apart if name in _BANDS},
    )


def of_schema(sheet: Sheet, where: Path) -> Mapping:
    """The mapping of a table whose columns bear the schema's names; optional ones may be absent, and are no inputs.

    Raises DataError for a column that is unknown, and when a required one or the target is missing.
    """
    needed = [column.name for column in schema.INPUTS if column.required] + [schema.TARGET]
    missing = [name for name in needed if name not in sheet.columns]
    if missing:
        raise DataError(
            f"{where}: missing column {', '.join(map(repr, missing))}: expected the columns of `epm-export schema`, "
            f"or say with --mapping what yours mean; the file has {', '.join(sheet.columns)}",
            field=missing[0],
        )
    for name in sheet.columns:
        if name not in _SCHEMA and name != schema.TARGET:
            raise DataError(
                f"{where}: unknown column {name!r}: it is not in `epm-export schema`; use --mapping", field=name
            )
    absent = [column.name for column in schema.INPUTS if column.name not in sheet.columns]
    if absent:
        say(f"not in {where.name}, so no inputs of this model: {', '.join(absent)}")
    return Mapping(target=Target(column=schema.TARGET, values={grade: grade for grade in schema.GRADES}))


def _inherited(said: ColumnMeaning, known: schema.Column) -> ColumnMeaning:
    same_unit = said.unit in (None, known.unit)  # the schema's bounds are in its own unit, and mean nothing in another
    return ColumnMeaning(
        type=said.type or known.kind,
        title=said.title or known.title,
        unit=known.unit if said.unit is None else said.unit,
        low=known.low if said.low is None and same_unit else said.low,
        high=known.high if said.high is None and same_unit else said.high,
        required=known.required if said.required is None else said.required,
    )
