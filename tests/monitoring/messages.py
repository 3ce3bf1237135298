"""What is sent to an observed gateway: rows, ids and facts as messages of epm.v1."""

from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from serving.stubs.epm.v1 import features_pb2 as f1
from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.monitoring.known import Known


def rows_of(known: Known, first: int, count: int, model: str = "") -> v1.PredictRequest:
    """Raw columns of some people; model: another one than theirs."""
    request = v1.PredictRequest(model=v1.ModelRef(name=model or known.model))
    for name, cells in known.rows(first, count):
        _add(request, name, cells)
    return request


def _add(request: v1.PredictRequest, name: str, cells: Any) -> None:
    if isinstance(cells, list):
        request.columns.add(name=name, strings=v1.Strings(values=cells))
    elif cells.ndim == 2:
        request.columns.add(name=name, history=v1.History(months=cells.shape[1], values=cells.ravel()))
    else:
        request.columns.add(name=name, doubles=v1.Doubles(values=cells))


def ids_of(model: str, rows: range) -> v1.PredictRequest:
    """People by their ids."""
    request = v1.PredictRequest(model=v1.ModelRef(name=model))
    request.entities.entity_type = "employee"
    request.entities.ids.extend(f"person-{row}" for row in rows)
    return request


def facts_of(known: Known, rows: range) -> f1.PutFactsRequest:
    """What is to be stored of people; the same at every call, so that writing it again changes nothing."""
    request = f1.PutFactsRequest()
    for row in rows:
        event = request.events.add(entity_type="employee", entity_id=f"person-{row}", source="test", sequence=1)
        event.as_of.CopyFrom(Timestamp(seconds=1_790_000_000))
        for name, (cell,) in known.rows(row, 1):
            if isinstance(cell, str):
                event.facts.add(name=name, text=cell)
            elif not np.isnan(cell):
                event.facts.add(name=name, number=cell)
    return request
