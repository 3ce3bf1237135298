"""Raw rows of people, and what a committed model says of each of them, by onnxruntime alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from serving.repository.versions import load_version
from tests.support.published import REPOSITORY, columns, facts

TOLERANCE = 1e-5
GRADES, LEAVING = "performance_model", "attrition_model"


class Known:
    """columns: raw columns by name, [people] or [people, months]; answers: the graph's numbers, [people, ...]."""

    def __init__(self, model: str, sent: dict[str, Any]) -> None:
        served = load_version(REPOSITORY / model / "1")
        self.model, self.columns, self.people = model, sent, len(next(iter(sent.values())))
        tensors = served.graph_tensors(served.program.run(served.schema.assemble(sent, self.people)))
        session = onnxruntime.InferenceSession(str(REPOSITORY / model / "1" / "model.onnx"))
        names = [output.name for output in session.get_outputs() if output.name != "label"]
        self.answers = dict(zip(names, session.run(names, tensors), strict=True))

    def rows(self, first: int, count: int) -> list[tuple[str, Any]]:
        """Columns of some of them, one after the other."""
        return [(name, cells[first : first + count]) for name, cells in self.columns.items()]

    def is_right(self, first: int, count: int, answer: Mapping[str, Any]) -> bool:
        """Whether all numbers of an answer are those of these people."""
        for name, values in self.answers.items():
            expected = values[first : first + count].ravel()
            got = np.asarray(answer.get(name, ()), np.float32).ravel()
            if got.shape != expected.shape or not (np.abs(got - expected) <= TOLERANCE).all():
                return False
        return True


def usual(model: str, people: int, seed: int) -> Known:
    """As they come."""
    return Known(model, columns(load_version(REPOSITORY / model / "1"), *facts(model, people, seed)))


def odd(known: Known) -> Known:
    """The same people, their cells missing, unknown or out of the range of training, and every third one with few."""
    few, sent = np.arange(known.people) % 3 == 0, {}
    for name, cells in known.columns.items():
        if isinstance(cells, list):
            strange = ["Moon base" if row % 5 == 1 else cell for row, cell in enumerate(cells)]
            sent[name] = ["" if gone else cell for cell, gone in zip(strange, few, strict=True)]
        else:
            sent[name] = cells.copy()
            if name != "hours":  # it is required
                sent[name][few] = np.nan
    sent["tenure"][1::3] = 900.0
    sent["team_size"][2::6] = 500.0
    return Known(known.model, sent)
