"""`epm predict`: scores a CSV file over gRPC, as any application would: a stream of batches with typed columns."""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TextIO

import grpc
import numpy as np

from serving import table, texts
from serving.contract import HISTORIES, LENGTHS, MOST_MONTHS
from serving.errors import InvalidInput, NotReady
from serving.facts_files import month_number
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from serving.stubs.foreign import kserve_v2_pb2 as v2

HISTORY = "history"
"""Kind of a column that has one value a month."""


@dataclass(frozen=True)
class Number:
    """A float32 of an answer: rounded for a table, exact for a file."""

    value: float
    form: str

    def __str__(self) -> str:
        return format(self.value, self.form)

    @property
    def exact(self) -> str:
        """The shortest text that gives the same float32 back."""
        return str(np.float32(self.value))


@dataclass(frozen=True)
class YesOrNo:
    """A label by a threshold: in words for a table, 1 or 0 for a file."""

    value: int

    def __str__(self) -> str:
        return texts.both(texts.YES if self.value else texts.NO)

    @property
    def exact(self) -> str:
        return str(self.value)


Shown = str | Number | YesOrNo


@dataclass(frozen=True)
class Row:
    """One scored row of the file."""

    id: str
    outputs: dict[str, Shown]
    """What is shown, by column: grade, one probability a class, margin, coverage, notes."""


class Client:
    """A gateway at `address` (host:port); `wait`: seconds to wait until it answers. Raises NotReady."""

    def __init__(self, address: str, wait: float) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        try:
            grpc.channel_ready_future(self._channel).result(timeout=wait)
        except grpc.FutureTimeoutError:
            raise NotReady(f"no gateway answers at {address} within {wait:g} s; start one with `epm serve`") from None
        self._stub = prediction_pb2_grpc.PredictionServiceStub(self._channel)

    def columns(self, model: str) -> dict[str, str]:
        """The raw columns that `model` takes: name -> "BYTES", a number type, or HISTORY."""
        ask = self._channel.unary_unary(
            "/inference.GRPCInferenceService/ModelMetadata",
            v2.ModelMetadataRequest.SerializeToString,
            v2.ModelMetadataResponse.FromString,
        )
        try:
            inputs = ask(v2.ModelMetadataRequest(name=model), timeout=10).inputs
        except grpc.RpcError as error:
            raise InvalidInput(error.details()) from None
        single = {tensor.name: tensor.datatype for tensor in inputs if len(tensor.shape) == 1}
        if any(tensor.name == HISTORIES for tensor in inputs):
            del single[LENGTHS]
        months = {tensor.name: HISTORY for tensor in inputs if len(tensor.shape) == 2 and tensor.datatype == "FP64"}
        return single | months  # the graph's own inputs, which no table has, are FP32

    def predict(self, requests: Iterator[v1.PredictRequest]) -> Iterator[v1.PredictResponse]:
        """One answer for each request, in order."""
        try:
            yield from self._stub.StreamPredict(requests)
        except grpc.RpcError as error:
            raise NotReady(f"{error.code().name}: {error.details()}") from None


@dataclass(frozen=True)
class Layout:
    """How a file tells what is one row to score. id: the column shown beside the answer, empty for line numbers.

    month: empty where a line is a row. Else the column with the month: lines that stand together under one id are one
    row; its histories end with its newest month, and what is no history is read from the line of that month.
    """

    id: str
    month: str = ""


@dataclass(frozen=True)
class _Entity:
    """One row to score, and where it stands in the file."""

    lines: list[tuple[int, dict[str, str]]]
    """Number and cells of each line."""
    months: list[int]
    """Of each line, since January 1970, ascending; empty where a line is a row."""

    @property
    def newest(self) -> tuple[int, dict[str, str]]:
        return self.lines[-1]


def score(path: Path, model: str, layout: Layout, client: Client, batch: int) -> Iterator[Row]:
    """Score the rows of a CSV file, in order. Raises InvalidInput naming line and column of what cannot be sent."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            yield from _score(path, reader, model, layout, client, batch)
        except UnicodeDecodeError:
            raise InvalidInput(f"{path} is not UTF-8: save it as CSV UTF-8") from None
        except csv.Error as error:
            raise InvalidInput(f"{path}, line {reader.line_num + 1}: {error}") from None


def _score(
    path: Path, reader: "csv.DictReader[str]", model: str, layout: Layout, client: Client, batch: int
) -> Iterator[Row]:
    kinds = client.columns(model)
    known = _known(path, reader.fieldnames or [], model, layout, kinds)
    sent: list[list[str]] = []
    failed: list[Exception] = []

    def requests() -> Iterator[v1.PredictRequest]:
        try:
            for rows in _batches(_entities(reader, layout), batch):
                newest = [row.newest for row in rows]
                sent.append([cells[layout.id] if layout.id else str(line) for line, cells in newest])
                request = v1.PredictRequest(request_id=str(rows[0].lines[0][0]), model=v1.ModelRef(name=model))
                request.columns.extend(
                    _history(name, rows) if kinds[name] == HISTORY else _column(name, kinds[name], newest)
                    for name in known
                )
                yield request
        except Exception as error:  # gRPC reads requests in a thread of its own, and would keep this to itself
            failed.append(error)

    for number, response in enumerate(client.predict(requests())):
        if response.HasField("error"):
            raise InvalidInput(f"{path}, rows from line {response.request_id} on: {response.error.message}")
        yield from _rows(sent[number], response)
        sent[number] = []
    if failed:
        raise failed[0]


def show(rows: list[Row]) -> str:
    """A table of scored rows."""
    header = list(rows[0].outputs)
    cells = ([row.id, *map(str, row.outputs.values())] for row in rows)
    right = [False, *(isinstance(cell, Number) for cell in rows[0].outputs.values())]
    return "\n".join(table.lines([texts.both(texts.EMPLOYEE), *header], cells, right))


def _known(path: Path, header: Sequence[str], model: str, layout: Layout, kinds: dict[str, str]) -> list[str]:
    """Columns to send; says on standard error which are not. Raises InvalidInput when there is nothing to send."""
    named = [name for name in header if name in kinds]
    if not named:
        raise InvalidInput(f"{path}: no column of {model} in `{', '.join(header)[:100]}`; it takes {', '.join(kinds)}")
    for column, option in ((layout.id, "--id"), (layout.month, "--month")):
        if column and column not in header:
            raise InvalidInput(f"{path}: no column {column!r} (see {option}); the file has {', '.join(header)}")
    known = [name for name in named if layout.month or kinds[name] != HISTORY]
    if not known:
        raise InvalidInput(f"{path}: all columns of {model} are monthly, and --month names no column of months")
    ignored = [name for name in header if name not in kinds and name not in (layout.id, layout.month)]
    if ignored:
        print(f"columns that {model} does not take: {', '.join(ignored)}", file=sys.stderr)
    if len(known) < len(named):
        monthly = ", ".join(name for name in named if name not in known)
        print(f"monthly columns, not sent because --month names no column: {monthly}", file=sys.stderr)
    return known


def _entities(reader: "csv.DictReader[str]", layout: Layout) -> Iterator[_Entity]:
    """The rows to score, in order. Raises InvalidInput naming the line whose cells, month or place is wrong."""
    if not layout.month:
        for line in _lines(reader):
            yield _Entity([line], [])
        return
    seen: set[str] = set()
    for id_, lines in groupby(_lines(reader), lambda line: line[1][layout.id]):
        row = _Entity(list(lines), [])
        if id_ in seen:
            raise InvalidInput(f"line {row.lines[0][0]}: {layout.id} has stood above: its months must stand together")
        seen.add(id_)
        for number, cells in row.lines:
            month = _month(layout.month, number, cells[layout.month].strip())
            if row.months and month <= row.months[-1]:
                came = f"{cells[layout.month]!r} in line {number}"
                raise InvalidInput.cell(layout.month, came, "a later month than in the line above")
            row.months.append(month)
        yield row


def _month(column: str, line: int, text: str) -> int:
    try:
        return month_number(text)
    except ValueError:
        came = f"{text[:40]!r} in line {line}"
        raise InvalidInput.cell(column, came, "a month as in 2026-03 or 202603, or a date") from None


def _lines(reader: "csv.DictReader[str]") -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells of each line."""
    for row in reader:
        if None in row or None in row.values():
            raise InvalidInput(f"line {reader.line_num}: not as many cells as the header has")
        yield reader.line_num, row


def _batches(rows: Iterator[_Entity], size: int) -> Iterator[list[_Entity]]:
    while batch := list(islice(rows, size)):
        yield batch


def _column(name: str, kind: str, rows: list[tuple[int, dict[str, str]]]) -> v1.Column:
    if kind == "BYTES":
        return v1.Column(name=name, strings=v1.Strings(values=[row[name].strip() for _, row in rows]))
    return v1.Column(name=name, doubles=v1.Doubles(values=[_number(name, line, row[name]) for line, row in rows]))


def _history(name: str, rows: list[_Entity]) -> v1.Column:
    """The newest months of each row; those that the file does not have are missing."""
    values = np.full((len(rows), MOST_MONTHS), np.nan)
    for number, row in enumerate(rows):
        for month, (line, cells) in zip(row.months, row.lines, strict=True):
            back = row.months[-1] - month
            if back < MOST_MONTHS:
                values[number, -1 - back] = _number(name, line, cells[name])
    return v1.Column(name=name, history=v1.History(months=MOST_MONTHS, values=values.reshape(-1)))


def _number(name: str, line: int, cell: str) -> float:
    try:
        return float(cell.strip().replace("_", "?") or "nan")  # 1_0 is no number in a table
    except ValueError:
        raise InvalidInput.cell(name, f"{cell[:40]!r} in line {line}", "a number, or nothing") from None


def write_csv(rows: Iterable[Row], id_column: str, file: TextIO) -> None:
    """Scored rows as CSV, numbers exact."""
    writer = csv.writer(file, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow([id_column, *row.outputs])
        writer.writerow([row.id, *(c if isinstance(c, str) else c.exact for c in row.outputs.values())])


def _rows(ids: list[str], response: v1.PredictResponse) -> Iterator[Row]:
    found: list[dict[str, list[str]]] = [{} for _ in ids]
    warning: Any
    for warning in response.warnings:  # mypy takes the message Warning for the builtin
        text = texts.both(getattr(texts, v1.Warning.Code.Name(warning.code)))
        for row in warning.rows:
            found[row].setdefault(text, []).extend([warning.column] if warning.column else [])
    notes = ["; ".join(f"{text}: {', '.join(of)}" if of else text for text, of in row.items()) for row in found]
    for number, id_ in enumerate(ids):
        shown: dict[str, Shown] = {}
        for output in response.outputs:
            shown.update(_shown(output, number))
        if response.coverage:
            shown[texts.both(texts.COVERAGE)] = Number(response.coverage[number], ".0%")
        shown[texts.both(texts.NOTES)] = notes[number]
        yield Row(id_, shown)


def _shown(output: v1.Output, row: int) -> dict[str, Shown]:
    kind = output.WhichOneof("value")
    if kind == "classes":
        made, names = output.classes, output.classes.classes
        probabilities = made.probabilities[row * len(names) : (row + 1) * len(names)]
        columns = {f"P({name})": Number(p, ".3f") for name, p in zip(names, probabilities, strict=True)}
        return {
            output.name: names[made.label[row]],
            **columns,
            texts.both(texts.MARGIN): Number(made.margin[row], ".3f"),
        }
    if kind == "probability":
        decided: dict[str, Shown] = {output.name: Number(output.probability.values[row], ".3f")}
        if output.probability.HasField("threshold"):
            decided[texts.both(texts.LABEL)] = YesOrNo(output.probability.label[row])
            decided[texts.both(texts.MARGIN)] = Number(output.probability.margin[row], ".3f")
        return decided
    if kind == "vector":
        names = output.vector.names
        values = output.vector.values[row * len(names) : (row + 1) * len(names)]
        return {name: Number(value, ".4g") for name, value in zip(names, values, strict=True)}
    if kind == "ranking":
        items = output.ranking.items
        return {
            output.name: " > ".join(items[i] for i in output.ranking.order[row * len(items) : (row + 1) * len(items)])
        }
    return {output.name: Number(output.scalar.values[row], ".4g")}
