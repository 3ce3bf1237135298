"""`epm predict`: scores a CSV file over gRPC, as any application would: a stream of batches with typed columns."""

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import grpc
import numpy as np

from serving import table, texts
from serving.errors import InvalidInput, NotReady
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from serving.stubs.foreign import kserve_v2_pb2 as v2


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
class Row:
    """One scored row of the file."""

    id: str
    outputs: dict[str, str | Number]
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
        """The raw columns that `model` takes: name -> "BYTES" or a number type."""
        ask = self._channel.unary_unary(
            "/inference.GRPCInferenceService/ModelMetadata",
            v2.ModelMetadataRequest.SerializeToString,
            v2.ModelMetadataResponse.FromString,
        )
        try:
            inputs = ask(v2.ModelMetadataRequest(name=model), timeout=10).inputs
        except grpc.RpcError as error:
            raise InvalidInput(error.details()) from None
        return {tensor.name: tensor.datatype for tensor in inputs if len(tensor.shape) == 1}

    def predict(self, requests: Iterator[v1.PredictRequest]) -> Iterator[v1.PredictResponse]:
        """One answer for each request, in order."""
        try:
            yield from self._stub.StreamPredict(requests)
        except grpc.RpcError as error:
            raise NotReady(f"{error.code().name}: {error.details()}") from None


def score(path: Path, model: str, id_column: str, client: Client, batch: int) -> Iterator[Row]:
    """Score the rows of a CSV file, in order. Raises InvalidInput naming line and column of what cannot be sent."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            yield from _score(path, reader, model, id_column, client, batch)
        except UnicodeDecodeError:
            raise InvalidInput(f"{path} is not UTF-8: save it as CSV UTF-8") from None
        except csv.Error as error:
            raise InvalidInput(f"{path}, line {reader.line_num + 1}: {error}") from None


def _score(
    path: Path, reader: "csv.DictReader[str]", model: str, id_column: str, client: Client, batch: int
) -> Iterator[Row]:
    kinds = client.columns(model)
    header = reader.fieldnames or []
    known = [name for name in header if name in kinds]
    if not known:
        raise InvalidInput(f"{path}: no column of {model} in `{', '.join(header)[:100]}`; it takes {', '.join(kinds)}")
    if id_column and id_column not in header:
        raise InvalidInput(f"{path}: no column {id_column!r} (see --id); the file has {', '.join(header)}")
    ignored = [name for name in header if name not in kinds and name != id_column]
    if ignored:
        print(f"columns that {model} does not take: {', '.join(ignored)}", file=sys.stderr)
    sent: list[list[str]] = []
    failed: list[Exception] = []

    def requests() -> Iterator[v1.PredictRequest]:
        try:
            for rows in _batches(reader, batch):
                sent.append([row[id_column] if id_column else str(number) for number, row in rows])
                request = v1.PredictRequest(request_id=str(rows[0][0]), model=v1.ModelRef(name=model))
                request.columns.extend(_column(name, kinds[name], rows) for name in known)
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
    right = [False, False, *([True] * (len(header) - 2)), False]
    return "\n".join(table.lines([texts.both(texts.EMPLOYEE), *header], cells, right))


def _batches(reader: "csv.DictReader[str]", size: int) -> Iterator[list[tuple[int, dict[str, str]]]]:
    """Rows with the number of their line, `size` at a time."""
    batch: list[tuple[int, dict[str, str]]] = []
    for row in reader:
        if None in row or None in row.values():
            raise InvalidInput(f"line {reader.line_num}: not as many cells as the header has")
        batch.append((reader.line_num, row))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _column(name: str, kind: str, rows: list[tuple[int, dict[str, str]]]) -> v1.Column:
    if kind == "BYTES":
        return v1.Column(name=name, strings=v1.Strings(values=[row[name].strip() for _, row in rows]))
    values = []
    for line, row in rows:
        try:
            values.append(float(row[name].strip().replace("_", "?") or "nan"))  # 1_0 is no number in a table
        except ValueError:
            raise InvalidInput.cell(name, f"{row[name][:40]!r} in line {line}", "a number, or nothing") from None
    return v1.Column(name=name, doubles=v1.Doubles(values=values))


def write_csv(rows: Iterable[Row], id_column: str, file: TextIO) -> None:
    """Scored rows as CSV, numbers exact."""
    writer = csv.writer(file, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow([id_column, *row.outputs])
        writer.writerow([row.id, *(c.exact if isinstance(c, Number) else c for c in row.outputs.values())])


def _rows(ids: list[str], response: v1.PredictResponse) -> Iterator[Row]:
    found: list[dict[str, list[str]]] = [{} for _ in ids]
    warning: Any
    for warning in response.warnings:  # mypy takes the message Warning for the builtin
        text = texts.both(getattr(texts, v1.Warning.Code.Name(warning.code)))
        for row in warning.rows:
            found[row].setdefault(text, []).extend([warning.column] if warning.column else [])
    notes = ["; ".join(f"{text}: {', '.join(of)}" if of else text for text, of in row.items()) for row in found]
    for number, id_ in enumerate(ids):
        shown: dict[str, str | Number] = {}
        for output in response.outputs:
            shown.update(_shown(output, number))
        if response.coverage:
            shown[texts.both(texts.COVERAGE)] = Number(response.coverage[number], ".0%")
        shown[texts.both(texts.NOTES)] = notes[number]
        yield Row(id_, shown)


def _shown(output: v1.Output, row: int) -> dict[str, str | Number]:
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
    if kind == "vector":
        names = output.vector.names
        values = output.vector.values[row * len(names) : (row + 1) * len(names)]
        return {name: Number(value, ".4g") for name, value in zip(names, values, strict=True)}
    if kind == "ranking":
        items = output.ranking.items
        return {
            output.name: " > ".join(items[i] for i in output.ranking.order[row * len(items) : (row + 1) * len(items)])
        }
    return {output.name: Number(getattr(output, str(kind)).values[row], ".4g")}
