"""Made-up employees with 20 facts and 6 monthly facts, a model that reads all of them, and what is asked about them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from loadtest.rows import Columns, draw_rows
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.contract import CategoryInput, Contract, GraphInput, HistoryInput, Program, Provenance, Step, Text
from serving.features.program import run_reference
from serving.features.rows import RowSchema
from serving.stubs.epm.v1 import features_pb2 as facts
from serving.stubs.epm.v1 import prediction_pb2 as v1

MONTHLY_MODEL = "monthly_model"
MONTHS = 24
FIRST_MONTH = (2024, 11)
AS_OF = 1_793_404_800
"""2026-10-31, the last day of the last month, as seconds since 1970-01-01."""
MONTHLY = {"overtime_hours": 1, "leave_days": 0, "late_arrivals": 0, "tasks_closed": 0, "courses": 0, "sold": 2}
"""Monthly facts, and how many decimals they have."""
_MISSING = 0.05
_HIDDEN = 32
_GOLDEN_ROWS = 64


@dataclass(frozen=True)
class People:
    """n employees. columns: their facts; history: float64[n, K, T], NaN where nothing is known."""

    ids: Sequence[str]
    columns: Columns
    history: NDArray[np.float64]

    def by_ids(self, model: str, rows: NDArray[np.int64]) -> bytes:
        """`epm.v1.PredictRequest` by the ids of rows."""
        request = v1.PredictRequest(model=v1.ModelRef(name=model))
        request.entities.entity_type = "employee"
        request.entities.ids.extend(self.ids[row] for row in rows.tolist())
        return request.SerializeToString(deterministic=True)

    def by_columns(self, model: str, rows: NDArray[np.int64]) -> bytes:
        """`epm.v1.PredictRequest` of the facts of rows, and for the monthly model of their histories."""
        request = v1.PredictRequest(model=v1.ModelRef(name=model))
        for name, cells in self.columns.items():
            column = request.columns.add(name=name)
            if isinstance(cells, list):
                column.strings.values.extend(cells[row] for row in rows.tolist())
                continue
            given = ~np.isnan(cells[rows])
            column.doubles.values.extend(np.where(given, cells[rows], 0.0).tolist())
            if not given.all():
                column.validity = np.packbits(given, bitorder="little").tobytes()
        if model == MONTHLY_MODEL:
            for number, name in enumerate(MONTHLY):
                column = request.columns.add(name=name)
                column.history.months = MONTHS
                column.history.values.extend(self.history[rows, number].reshape(-1).tolist())
        return request.SerializeToString(deterministic=True)

    def events(self, start: int, stop: int) -> facts.PutFactsRequest:
        """What a feed says of rows start to stop."""
        request = facts.PutFactsRequest()
        for row in range(start, stop):
            event = request.events.add(entity_type="employee", entity_id=self.ids[row], source="loadtest")
            event.as_of.CopyFrom(Timestamp(seconds=AS_OF))
            for name, cells in self.columns.items():
                cell = cells[row]
                if isinstance(cell, str):
                    event.facts.add(name=name, text=cell)
                elif not np.isnan(cell):
                    event.facts.add(name=name, number=cell)
            for number, name in enumerate(MONTHLY):
                months = self.history[row, number].tolist()
                event.monthly_facts.add(name=name, first_month=FIRST_MONTH[0] * 100 + FIRST_MONTH[1], values=months)
        return request


def draw(contract: Contract, n: int, seed: int) -> People:
    """n employees that the model of `contract`, which has no histories, takes; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    history = draw_history(random, n)
    history[random.random(history.shape) < _MISSING] = np.nan
    history[:, 0, -1] = np.nan_to_num(history[:, 0, -1])  # by id the newest known month is the present
    return People([f"E{row:07}" for row in range(n)], draw_rows(contract, n, seed), history)


def draw_history(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """float64[n, K, T], each fact with its decimals."""
    history = random.gamma(2.0, 8.0, (n, len(MONTHLY), MONTHS))
    for number, decimals in enumerate(MONTHLY.values()):
        history[:, number] = history[:, number].round(decimals)
    return history


def write_model(root: Path, base: Contract, seed: int = 0) -> Contract:
    """Write version 1 of a model below `root` that reads the inputs of `base` and the monthly facts of 24 months.

    Its graph, drawn from `seed`, is a small network over features and window. Returns its contract.
    """
    contract = _contract(base)
    folder = root / MONTHLY_MODEL / "1"
    folder.mkdir(parents=True)
    (folder / "contract.json").write_bytes(contract.to_json())
    (folder.parent / "config.pbtxt").write_text(f'name: "{MONTHLY_MODEL}"\nbackend: "onnxruntime"\n')
    graph = _graph(len(contract.program.features), len(contract.program.window), contract, seed).SerializeToString()
    (folder / "model.onnx").write_bytes(graph)
    people = draw(base, _GOLDEN_ROWS, seed)
    sent = {**people.columns, **{name: people.history[:, number] for number, name in enumerate(MONTHLY)}}
    made = run_reference(contract, RowSchema(contract).assemble(sent, _GOLDEN_ROWS))
    outputs = OnnxRuntimeBackend(graph, 1).run({"features": made.features, "history": made.window})
    arrays = {f"raw.{name}": np.array(cells) for name, cells in sent.items()}
    arrays |= {"features": made.features, "window": made.window}
    np.savez(folder / "golden.npz", **arrays, **{f"output.{name}": values for name, values in outputs.items()})
    names = ("contract.json", "golden.npz", "model.onnx", "../config.pbtxt")
    digests = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(digests))
    return contract


def _contract(base: Contract) -> Contract:
    steps: list[Step] = []
    features: list[str] = []
    for raw in base.inputs:
        if isinstance(raw, CategoryInput):
            made = [f"{raw.name}={code}" for code in range(len(raw.categories))]
            steps += [Step("one_hot", name, (raw.name,), (float(code),)) for code, name in enumerate(made)]
            features += made
        else:
            steps.append(Step("impute", f"{raw.name}.filled", (raw.name,), (1.0,)))
            steps.append(Step("scale", f"{raw.name}.scaled", (f"{raw.name}.filled",), (10.0, 20.0)))
            features.append(f"{raw.name}.scaled")
    window = []
    for name in MONTHLY:
        for operation, params in (("mean", (12.0,)), ("slope", (12.0,)), ("std", (24.0,)), ("months_since", (30.0,))):
            into = f"{name}.{operation}"
            steps.append(Step(operation, into, (name,), params))
            steps.append(Step("impute", f"{into}.filled", (into,), (0.0,)))
            features.append(f"{into}.filled")
        steps.append(Step("scale", f"{name}.months", (name,), (16.0, 10.0)))
        steps.append(Step("impute", f"{name}.window", (f"{name}.months",), (0.0,)))
        window.append(f"{name}.window")
    inputs = tuple(msgspec.structs.replace(raw, required=False) for raw in base.inputs)
    histories = tuple(HistoryInput(name, Text(name, name), "a month", weight=0.05) for name in MONTHLY)
    return msgspec.structs.replace(
        base,
        model=MONTHLY_MODEL,
        inputs=(*inputs, *histories),
        months=MONTHS,
        program=Program(steps=tuple(steps), features=tuple(features), window=(*window, "mask")),
        tensors=(GraphInput("features", (len(features),)), GraphInput("history", (MONTHS, len(window) + 1))),
        provenance=Provenance("none", "0" * 64, 0, "loadtest", "a small network, not trained", 0, True, {}),
    )


def _graph(features: int, window: int, contract: Contract, seed: int) -> onnx.ModelProto:
    """Two layers over features and flattened window; probabilities and label of three classes."""
    random = np.random.default_rng(seed)
    (output,) = contract.outputs
    shapes = {"wf": (features, _HIDDEN), "wh": (MONTHS * window, _HIDDEN), "wo": (_HIDDEN, 3)}
    constants = [
        numpy_helper.from_array(random.normal(scale=0.05, size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    constants.append(numpy_helper.from_array(np.array([-1, MONTHS * window], np.int64), "flat"))
    nodes = [
        helper.make_node("Reshape", ["history", "flat"], ["h"]),
        helper.make_node("MatMul", ["features", "wf"], ["a"]),
        helper.make_node("MatMul", ["h", "wh"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "wo"], ["score"]),
        helper.make_node("Softmax", ["score"], [output.probabilities], axis=1),
        helper.make_node("ArgMax", [output.probabilities], ["best"], axis=1, keepdims=0),
        helper.make_node("Cast", ["best"], [output.label], to=TensorProto.INT32),
    ]
    inputs = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", features]),
        helper.make_tensor_value_info("history", TensorProto.FLOAT, ["n", MONTHS, window]),
    ]
    results = [
        helper.make_tensor_value_info(output.probabilities, TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info(output.label, TensorProto.INT32, ["n"]),
    ]
    graph = helper.make_graph(nodes, MONTHLY_MODEL, inputs, results, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
