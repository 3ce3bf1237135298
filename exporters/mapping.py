"""What the columns of somebody's own table mean: read from TOML, or the schema's meaning where they bear its names."""

from pathlib import Path
from typing import Literal

import msgspec

from exporters import schema
from exporters.errors import DataError
from exporters.sheet import Sheet
from serving.contract import Text


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of everything in a mapping: an unknown field is an error, so a slip of the pen is seen."""


class Target(_Part, frozen=True):
    """The column to learn, and its values -> classes. The class named first is the best one."""

    column: str
    values: dict[str, str]


class ColumnMeaning(_Part, frozen=True):
    """What is known of an input; everything else is inferred from its cells."""

    type: Literal["number", "category"] | None = None
    title: Text | None = None
    unit: str = ""
    low: float | None = None
    """Physical bounds, inclusive."""
    high: float | None = None
    required: bool = False


class Mapping(_Part, frozen=True):
    """The meaning of a table. Columns that are not mentioned are inputs."""

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
        """What is said of a column, or nothing."""
        return self.columns.get(name, ColumnMeaning())


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


def of_schema(sheet: Sheet, where: Path) -> Mapping:
    """The mapping of a table whose columns bear the schema's names. Raises DataError for columns missing or unknown."""
    needed = [column.name for column in schema.INPUTS] + [schema.TARGET]
    missing = [name for name in needed if name not in sheet.columns]
    if missing:
        raise DataError(
            f"{where}: missing column {', '.join(map(repr, missing))}: expected the columns of `epm-export schema`, "
            f"or say with --mapping what yours mean; the file has {', '.join(sheet.columns)}",
            field=missing[0],
        )
    known = {column.name for column in schema.COLUMNS} | {schema.TARGET}
    for name in sheet.columns:
        if name not in known:
            raise DataError(
                f"{where}: unknown column {name!r}: it is not in `epm-export schema`; use --mapping", field=name
            )
    left_out = {name: reason for name, reason in schema.LEFT_OUT.items() if name in sheet.columns}
    bands: dict[str, tuple[float, ...]] = {"gender": (), "age": schema.AGE_BANDS}
    return Mapping(
        target=Target(column=schema.TARGET, values={grade: grade for grade in schema.GRADES}),
        id="employee" if "employee" in sheet.columns else None,
        left_out=left_out | ({"month": "identifier of the row"} if "month" in sheet.columns else {}),
        groups={name: bands[name] for name in left_out},
        columns={
            column.name: ColumnMeaning(
                type=column.kind,
                title=column.title,
                unit=column.unit,
                low=column.low,
                high=column.high,
                required=column.required,
            )
            for column in schema.INPUTS
        },
    )
