"""From training rows to the promise of a contract: raw inputs with what was seen of them, and the feature program.

Everything here is fitted on the rows it is given, which are the training rows and no others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from exporters.data.dataset import Dataset
from exporters.data.schema import Column
from exporters.data.table import Cells, Table
from exporters.errors import DataError
from exporters.models.inputs import FEATURES, HISTORY
from serving.contract import (
    FORMAT,
    MASK,
    CategoryInput,
    ClassOutput,
    Contract,
    GraphInput,
    HistoryInput,
    LeftOut,
    NumberInput,
    Output,
    Program,
    Provenance,
    RawInput,
    Step,
)
from serving.features.operations import OPERATIONS

MIN_COVERAGE = 0.5
LEAST_WEIGHT = 0.005  # no input is worth nothing: its absence always shows in the coverage
MOST_CATEGORIES = 200
SUMMARIES: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("last", ()),
    *(("mean", (months,)) for months in (3.0, 6.0, 12.0)),
    *((op, (12.0,)) for op in ("std", "max", "min", "slope")),
)
"""What becomes of a history's months in the feature matrix; the months themselves are the window."""


@dataclass(frozen=True)
class _Fitted:
    """What one column becomes."""

    raw: RawInput
    steps: list[Step]
    features: list[str]
    window: tuple[str, ...] = ()


def draft(
    model: str,
    dataset: Dataset,
    rows: Table,
    provenance: Provenance,
    outputs: tuple[Output, ...],
    *,
    standardized: bool = False,
) -> Contract:
    """The contract of a model to be trained on `rows`; the weights of its inputs are still equal.

    standardized: numbers are brought to mean 0 and variance 1, as a network wants them and trees do not care.
    Raises DataError for a column that nothing can be learnt from.
    """
    fitted = [_fit(column, rows.columns[column.name], standardized) for column in dataset.inputs]
    histories = [rows.columns[one.raw.name] for one in fitted if isinstance(one.raw, HistoryInput)]
    features = tuple(name for one in fitted for name in one.features)
    window = tuple(name for one in fitted for name in one.window) + ((MASK,) if histories else ())
    months = histories[0].shape[1] if histories else 0
    tensors = [GraphInput(FEATURES, (len(features),))]
    if histories:
        tensors.append(GraphInput(HISTORY, (months, len(window))))
    try:
        return Contract(
            format=FORMAT,
            model=model,
            entity_type=dataset.entity_type,
            title=dataset.title,
            inputs=tuple(one.raw for one in fitted),
            program=Program(
                steps=tuple(step for one in fitted for step in one.steps), features=features, window=window
            ),
            tensors=tuple(tensors),
            outputs=outputs,
            min_coverage=MIN_COVERAGE,
            left_out=tuple(LeftOut(name, reason) for name, reason in dataset.left_out.items()),
            provenance=provenance,
            months=months,
        )
    except ValueError as error:  # two columns that would write the same value, or one named like a graph input
        raise DataError(f"columns of these names cannot stand in one contract: {error}") from error


def class_draft(model: str, dataset: Dataset, rows: Table, provenance: Provenance) -> Contract:
    """`draft` of a model with one output, the classes of the table."""
    return draft(model, dataset, rows, provenance, (ClassOutput(dataset.output, dataset.title, rows.classes),))


def weighed(contract: Contract, importances: Mapping[str, float]) -> Contract:
    """The contract with its inputs weighed by what the model made of them. importances: input -> share, 0 or more."""
    whole = sum(importances.values()) or 1.0
    floored = {name: max(importance / whole, LEAST_WEIGHT) for name, importance in importances.items()}
    total = sum(floored.values())
    inputs = [msgspec.structs.replace(raw, weight=round(floored[raw.name] / total, 6)) for raw in contract.inputs]
    return msgspec.structs.replace(contract, inputs=tuple(inputs))


def _fit(column: Column, cells: Cells, standardized: bool) -> _Fitted:
    """One column -> its raw input, the steps that read it, and what they give to the matrix and to the window."""
    if column.kind == "category":
        return _fit_category(column, cells)
    if np.isnan(cells).all():
        raise DataError(f"column {column.name!r}: every training row is empty; leave it out", field=column.name)
    return _fit_history(column, cells) if column.kind == "history" else _fit_number(column, cells, standardized)


def _fit_number(column: Column, cells: Cells, standardized: bool) -> _Fitted:
    missing = np.isnan(cells)
    name, low, high = column.name, float(np.nanmin(cells)), float(np.nanmax(cells))
    steps = [Step("clip", f"{name}:clipped", (name,), (low, high)), _filled(name, f"{name}:clipped", cells)]
    if standardized:
        steps.append(_scaled(f"{name}:scaled", f"{name}:filled", np.where(missing, np.nanmedian(cells), cells)))
    features = [steps[-1].into]
    if missing.any():
        steps.append(Step("missing_flag", f"{name}:missing", (name,)))
        features.append(f"{name}:missing")
    raw = NumberInput(name, column.title, column.unit, column.low, column.high, (low, high), required=column.required)
    return _Fitted(raw, steps, features)


def _fit_history(column: Column, cells: Cells) -> _Fitted:
    """Months float64[n, T]: each month scaled into the window, a missing one as the mean; summaries into the matrix.

    A summary that no training row has is left out: a column may be recorded in few months of the year.
    """
    name, clipped = column.name, f"{column.name}:clipped"
    low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
    steps = [
        Step("clip", clipped, (name,), (low, high)),
        _scaled(f"{name}:months", clipped, cells),
        Step("impute", f"{name}:window", (f"{name}:months",), (0.0,)),
    ]
    features = []
    for op, params in SUMMARIES:
        summary = f"{name}:{op}{''.join(f'{p:g}' for p in params)}"
        with np.errstate(all="ignore"):  # of no month at all
            values = OPERATIONS[op].reference(cells, *params)
        if np.isnan(values).all():  # the months that it asks for are known of nobody
            continue
        steps += [Step(op, summary, (clipped,), params), _filled(summary, summary, values)]
        steps.append(_scaled(f"{summary}:scaled", f"{summary}:filled", np.nan_to_num(values, nan=np.nanmedian(values))))
        features.append(f"{summary}:scaled")
    raw = HistoryInput(name, column.title, column.unit, column.low, column.high, (low, high), required=column.required)
    return _Fitted(raw, steps, features, (f"{name}:window",))


def _filled(name: str, read: str, values: Cells) -> Step:
    return Step("impute", f"{name}:filled", (read,), (float(np.nanmedian(values)),))


def _scaled(into: str, read: str, values: Cells) -> Step:
    return Step("scale", into, (read,), (float(np.nanmean(values)), float(np.nanstd(values)) or 1.0))


def _fit_category(column: Column, cells: Cells) -> _Fitted:
    categories = tuple(sorted(set(cells.tolist()) - {""}))
    if not categories:
        raise DataError(f"column {column.name!r}: every training row is empty; leave it out", field=column.name)
    if len(categories) > MOST_CATEGORIES:
        raise DataError(
            f"column {column.name!r}: got {len(categories)} different texts, expected at most {MOST_CATEGORIES}; "
            "leave it out, or, if it tells whose a row is, name it as the id",
            field=column.name,
        )
    slots = [*(f"{column.name}={category}" for category in categories), f"{column.name}:unknown"]
    steps = [Step("one_hot", slot, (column.name,), (float(code),)) for code, slot in enumerate(slots)]
    return _Fitted(CategoryInput(column.name, column.title, categories, required=column.required), steps, slots)
