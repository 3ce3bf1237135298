"""The fuzz's requests: hand-written bytes are messages, the same seed makes the same ones; shrinking; answers."""

import asyncio
import itertools
import random
from pathlib import Path

import pytest

from loadtest.listener.fuzzing import columns, wire
from loadtest.listener.fuzzing.mutations import LARGEST, WAYS, mutated
from loadtest.listener.fuzzing.requests import METHODS, counts, without_end
from loadtest.listener.fuzzing.shrink import shrunk
from loadtest.published import newest_version
from serving.contract import Contract
from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve
from serving.stubs.foreign import tensorflow_serving_pb2 as tensorflow

pytestmark = pytest.mark.unit
REPOSITORY = Path(__file__).parents[2] / "model_repo"
MESSAGES = {"inference": kserve.ModelInferRequest, "tensorflow": tensorflow.PredictRequest, "epm": epm.PredictRequest}


def contracts():
    return [
        Contract.load(newest_version(REPOSITORY / model) / "contract.json")
        for model in ("performance_model", "attrition_model")
    ]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_same_seed_makes_the_same_requests(method):
    one, other, third = (list(itertools.islice(without_end(method, contracts(), seed), 60)) for seed in ("1", "1", "2"))
    assert one == other != third
    assert len(set(one)) > 40


@pytest.mark.parametrize("method", METHODS[:3], ids=lambda method: method.name)
def test_honest_requests_are_messages_of_their_protocol_with_the_columns_drawn(method):
    message = MESSAGES[method.service.split(".")[0]]
    found = set()
    for number in range(60):
        request = message.FromString(method.request(random.Random(number), contracts()[0], 0.0)[:LARGEST])
        inputs = request.inputs if hasattr(request, "inputs") else request.columns
        found |= set(inputs) if isinstance(next(iter(inputs), ""), str) else {one.name for one in inputs}
    assert {raw.name for raw in contracts()[0].inputs} <= found


def test_numbers_are_the_same_packed_and_unpacked():
    for number in range(40):
        fields = wire.repeated(random.Random(number), 1, "d", [1.5, -2.0, 3.25])
        assert epm.Doubles.FromString(b"".join(fields)).values == [1.5, -2.0, 3.25]
        whole = wire.repeated(random.Random(number), 1, "v", [7, -8, 1 << 40])
        assert epm.Int64s.FromString(b"".join(whole)).values == [7, -8, 1 << 40]


def test_columns_of_honest_requests_have_as_many_cells_as_rows():
    for number in range(50):
        for column in columns.draw(random.Random(number), contracts()[1], 3, 0.0):
            assert len(column.cells) == 3 * (column.months or 1)


def test_all_ways_of_damage_take_every_body():
    made = random.Random(1)
    for way, body in itertools.product(WAYS, (b"", b"\x0a", bytes(range(256)))):
        assert isinstance(way(made, body, [b"other"]), bytes)
    assert len(mutated(made, bytes(2 * LARGEST), [])) <= LARGEST


def test_requests_are_shared_among_all_methods():
    assert sum(counts(20_000).values()) == 20_000
    assert all(counts(20_000).values())


def test_what_does_not_matter_is_left_out():
    async def still(body):
        return b"x" in body and b"y" in body

    found = asyncio.run(shrunk(random.Random(1).randbytes(500).replace(b"x", b"a") + b"x..............y", still))
    assert sorted(found) == sorted(b"xy")
