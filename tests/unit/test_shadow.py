"""A shadow backend is compared beside callers: agreements, disagreements, failures and what there was no room for."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from serving.backends.backend import Backend, Tensors
from serving.errors import BackendFailed
from serving.repository.served import ServedModel
from serving.repository.versions import load_version
from serving.shadow import MOST_RUNNING, Shadow
from serving.telemetry.backends import BackendCounts
from tests.support.models import write_version

pytestmark = pytest.mark.unit

ROWS = 8


class StandIn(Backend):
    """Answers as the model does, but for what `change` does to it."""

    name = "stand-in"

    def __init__(self, served: ServedModel, change) -> None:
        self._served, self._change = served, change

    async def infer(self, tensors: Tensors, deadline: float | None) -> Tensors:
        await asyncio.sleep(0)
        return self._change({name: values.copy() for name, values in self._served.run(tensors).items()})


def compared(folder: Path, change, offers: int = 1, fraction: float = 1.0) -> dict[str, float]:
    """Rows by outcome, after a shadow was offered `offers` batches of ROWS rows at once."""
    served = load_version(folder)
    object.__setattr__(served, "shadow", StandIn(served, change))
    counts, rng = BackendCounts(), np.random.default_rng(0)
    tensors = {"features": rng.normal(size=(ROWS, 8)).astype(np.float32)}

    async def offer() -> None:
        shadow = Shadow(served, fraction, counts)
        for _ in range(offers):
            shadow.offer(tensors, served.run(tensors))
        await asyncio.sleep(0.05)

    asyncio.run(offer())
    family = next(family for family in counts.collect() if family.name == "epm_shadow_rows")
    return {sample.labels["outcome"]: sample.value for sample in family.samples if sample.value}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("shadowed"))


def test_the_same_answers_agree(folder: Path) -> None:
    assert compared(folder, lambda outputs: outputs) == {"agreed": ROWS}


def test_rows_that_differ_by_more_than_the_tolerance_disagree(folder: Path) -> None:
    def change(outputs):
        outputs["probabilities"][2] += np.float32(1e-4)
        outputs["probabilities"][5] += np.float32(1e-7)
        return outputs

    assert compared(folder, change) == {"disagreed": 1, "agreed": ROWS - 1}


def test_another_label_disagrees(folder: Path) -> None:
    def change(outputs):
        outputs["label"][3] = (outputs["label"][3] + 1) % 3
        return outputs

    assert compared(folder, change) == {"disagreed": 1, "agreed": ROWS - 1}


def fail(outputs):
    raise BackendFailed("away")


@pytest.mark.parametrize(
    "change", [fail, lambda outputs: {}, lambda outputs: {**outputs, "label": outputs["label"][:1]}]
)
def test_what_fails_or_answers_in_another_shape_is_counted_and_goes_no_further(folder: Path, change) -> None:
    assert compared(folder, change) == {"failed": ROWS}


def test_what_there_is_no_room_for_is_dropped(folder: Path) -> None:
    assert compared(folder, lambda outputs: outputs, offers=MOST_RUNNING + 3) == {
        "agreed": MOST_RUNNING * ROWS,
        "dropped": 3 * ROWS,
    }


def test_nothing_is_compared_at_a_fraction_of_nothing(folder: Path) -> None:
    assert compared(folder, lambda outputs: outputs, fraction=0.0) == {}
