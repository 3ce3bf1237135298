"""From training rows to the promise of a contract: raw inputs with what was seen of them, and the feature program.

Everything here is fitted on the rows it is given, which are the training rows and no others.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.data.dataset import Dataset
from exporters.data.schema import Column
from exporters.data.table import Cells, Table
from exporters.errors import DataError
from serving.contract import (
    FORMAT,
    CategoryInput,
    ClassOutput,
    Contract,
    GraphInput,
    LeftOut,
    NumberInput,
    Program,
    Provenance,
    RawInput,
    Step,
)
from serving.features.program import compile_program
from serving.features.rows import RawRows, RowSchema

MIN_COVERAGE = 0.5
LEAST_WEIGHT = 0.005  # no input is worth nothing: its absence always shows in the coverage
MOST_CATEGORIES = 200


def draft(model: str, dataset: Dataset, rows: Table, provenance: Provenance) -> Contract:
    """The contract of a model to be trained on `rows`; the weights of its inputs are still equal.

    Raises DataError for a column that nothing can be learnt from.
    """
    inputs, steps, features = [], [], []
    for column in dataset.inputs:
        raw, of_column, written = _fit(column, rows.columns[column.name])
        inputs.append(raw)
        steps += of_column
        features += written
    try:
        return Contract(
            format=FORMAT,
            model=model,
            entity_type=dataset.entity_type,
            title=dataset.title,
            inputs=tuple(inputs),
            program=Program(steps=tuple(steps), features=tuple(features)),
            tensors=(GraphInput("features", (len(features),)),),
            outputs=(ClassOutput("grade", dataset.title, rows.classes),),
            min_coverage=MIN_COVERAGE,
            left_out=tuple(LeftOut(name, reason) for name, reason in dataset.left_out.items()),
            provenance=provenance,
        )
    except ValueError as error:  # two columns that would write the same value, or one named like a graph input
        raise DataError(f"columns of these names cannot stand in one contract: {error}") from error


def weighed(contract: Contract, importances: NDArray[np.float64]) -> Contract:
    """The contract with its inputs weighed by what the model made of them. importances: float64[F], summing to 1."""
    source = feature_sources(contract)
    weights = {raw.name: 0.0 for raw in contract.inputs}
    for feature, importance in zip(contract.program.features, importances.tolist(), strict=True):
        weights[source[feature]] += importance
    floored = {name: max(weight, LEAST_WEIGHT) for name, weight in weights.items()}
    total = sum(floored.values())
    inputs = [msgspec.structs.replace(raw, weight=round(floored[raw.name] / total, 6)) for raw in contract.inputs]
    return msgspec.structs.replace(contract, inputs=tuple(inputs))


def feature_sources(contract: Contract) -> dict[str, str]:
    """Feature -> the raw input it is computed from."""
    source = {raw.name: raw.name for raw in contract.inputs}
    for step in contract.program.steps:
        source[step.into] = source[step.inputs[0]]
    return {feature: source[feature] for feature in contract.program.features}


def class_output(contract: Contract) -> ClassOutput:
    """The one output that models made here have. Raises DataError for a contract with others."""
    output = contract.outputs[0]
    if len(contract.outputs) != 1 or not isinstance(output, ClassOutput):
        raise DataError(f"model {contract.model!r}: only models with one class output are known here")
    return output


def raw_rows(contract: Contract, columns: Mapping[str, Cells]) -> RawRows:
    """Columns through the gateway's own door."""
    cells = {raw.name: columns[raw.name] for raw in contract.inputs}
    n = len(next(iter(cells.values())))
    return RowSchema(contract).assemble(
        {name: values.tolist() if values.dtype.kind == "U" else values for name, values in cells.items()}, max_rows=n
    )


def feature_matrix(contract: Contract, columns: Mapping[str, Cells]) -> NDArray[np.float32]:
    """Columns through the gateway's own kernel: float32[n, F]."""
    return compile_program(contract).run(raw_rows(contract, columns)).features


def _fit(column: Column, cells: Cells) -> tuple[RawInput, list[Step], list[str]]:
    """One column -> its raw input, the steps that read it, the features they give."""
    return (_fit_number if column.kind == "number" else _fit_category)(column, cells)


def _fit_number(column: Column, cells: Cells) -> tuple[RawInput, list[Step], list[str]]:
    missing = np.isnan(cells)
    if missing.all():
        raise DataError(f"column {column.name!r}: every training row is empty; leave it out", field=column.name)
    name, low, high = column.name, float(np.nanmin(cells)), float(np.nanmax(cells))
    steps = [
        Step("clip", f"{name}:clipped", (name,), (low, high)),
        Step("impute", f"{name}:filled", (f"{name}:clipped",), (float(np.nanmedian(cells)),)),
    ]
    features = [f"{name}:filled"]
    if missing.any():
        steps.append(Step("missing_flag", f"{name}:missing", (name,)))
        features.append(f"{name}:missing")
    raw = NumberInput(name, column.title, column.unit, column.low, column.high, (low, high), required=column.required)
    return raw, steps, features


def _fit_category(column: Column, cells: Cells) -> tuple[RawInput, list[Step], list[str]]:
    categories = tuple(sorted(set(cells.tolist()) - {""}))
    if not categories:
        raise DataError(f"column {column.name!r}: every training row is empty; leave it out", field=column.name)
    if len(categories) > MOST_CATEGORIES:
        raise DataError(
            f"column {column.name!r}: got {len(categories)} different texts, expected at most {MOST_CATEGORIES}; "
            "leave it out, or name it as the id",
            field=column.name,
        )
    slots = [*(f"{column.name}={category}" for category in categories), f"{column.name}:unknown"]
    steps = [Step("one_hot", slot, (column.name,), (float(code),)) for code, slot in enumerate(slots)]
    return CategoryInput(column.name, column.title, categories, required=column.required), steps, slots
