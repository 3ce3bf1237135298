"""The compiled path says byte for byte what the Python path says, and it is answered by who should answer it."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from serving.inference import Keeping
from serving.repository.versions import load_version
from tests.conftest import MODEL_REPO
from tests.h2 import kinds
from tests.h2.asks import PATHS, STREAM, Outcome, Question, body, by_python, sent
from tests.h2.inside import Inside, answered_by
from tests.h2.kinds import Made, ready
from tests.support import published
from tests.support.models import write_version

pytestmark = pytest.mark.integration

SIZES = (1, 2, 63, 64, 65, 256)
PUBLISHED = {"performance_model": "compiled", "attrition_model": "featured"}
NAMES = [*kinds.NAMES, *PUBLISHED]
MODELS: dict[str, Made] = {}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    root = tmp_path_factory.mktemp("kinds")
    MODELS.update(kinds.write_all(root))
    write_version(root, "linear", 3, seed=3)
    (root / "linear" / "labels.json").write_text('{"stable": 1}')
    kinds.write_forest(root, MODELS["grade"].contract, version=4, seed=4)
    (root / "grade" / "labels.json").write_text('{"stable": 1, "gone": 2}')
    for name, how in PUBLISHED.items():
        shutil.copytree(MODEL_REPO / name, root / name)
        served = load_version(root / name / "1")
        MODELS[name] = Made(name, how, lambda n, seed, served=served: people(served, n, seed), served.contract)
    with Inside(root, loop_threads=2, cache="off") as running:
        yield running


def people(served: Any, count: int, seed: int) -> dict[str, Any]:
    return published.columns(served, *published.facts(served.name, count, seed))


@pytest.fixture
def channel(at: Inside) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(at.grpc, options=[("grpc.max_receive_message_length", -1)]) as made:
        yield made


def check(at: Inside, channel: grpc.Channel, form: str, question: Question, by: str) -> Outcome:
    """Ask both ways. by: who is to answer. Returns the answer."""
    request = body(form, question)
    with answered_by(at, **{by: 1}):
        answer = sent(channel, form, request)
    assert answer == at.run(by_python(at.gateway.pipeline, form, request))
    return answer


@pytest.mark.parametrize("form", PATHS)
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_every_kind_of_model(at: Inside, channel: grpc.Channel, name: str, form: str) -> None:
    made = MODELS[name]
    columns = made.columns(257, 5)
    raw = Question(name, kinds.sent(columns), id="x" * 7)
    tensors = Question(name, ready(made, kinds.sent(columns)))
    for question in (raw, tensors):
        for first, count in zip((0, 100, 30, 90, 13, 1), SIZES, strict=True):
            assert check(at, channel, form, question.rows(first, count), made.how)[0] == "OK"
        assert check(at, channel, form, question, "python")[0] == "OK"


@pytest.mark.parametrize("name", NAMES)
def test_messages_of_a_stream(at: Inside, channel: grpc.Channel, name: str) -> None:
    """Each by itself; models that are asked of Python are asked for each message."""
    made = MODELS[name]
    question = Question(name, kinds.sent(made.columns(90, 6)), id="in a stream")
    requests = [body("epm", question.rows(number, 1 + number * 7)) for number in range(9)]
    by = "compiled" if made.how == "compiled" else "python"
    with answered_by(at, **{by: len(requests)}):
        answers = list(channel.stream_stream(STREAM)(iter(requests), timeout=60))
    assert [("OK", answer) for answer in answers] == [
        at.run(by_python(at.gateway.pipeline, "epm", request)) for request in requests
    ]


@pytest.mark.parametrize("form", PATHS)
def test_histories_as_one_tensor_and_columns_left_out(at: Inside, channel: grpc.Channel, form: str) -> None:
    for name in ("everything", "leaves", "attrition"):
        columns = kinds.sent(MODELS[name].columns(5, 7))
        together = np.stack([columns.pop("overtime"), columns.pop("sick_days")], axis=2)
        if form != "epm":
            check(at, channel, form, Question(name, {"histories": together, **columns}), MODELS[name].how)
        for number in range(len(columns)):
            some = dict(list(columns.items())[number:])
            if "hours" in some:
                check(at, channel, form, Question(name, some), MODELS[name].how)


@pytest.mark.parametrize("form", PATHS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_numbers_of_other_types(at: Inside, channel: grpc.Channel, form: str, dtype: str) -> None:
    columns = {
        "hours": np.array([1, 20, 70], dtype),
        "quality": np.array([0, 1, 1], dtype),
        "department": np.array([0, 2, 3], dtype),
    }
    for name in ("grade", "linear"):
        assert check(at, channel, form, Question(name, columns), MODELS[name].how)[0] == "OK"


@pytest.mark.parametrize("form", PATHS)
@pytest.mark.parametrize("name", ["grade", "linear"])
def test_versions_and_labels(at: Inside, channel: grpc.Channel, name: str, form: str) -> None:
    how = MODELS[name].how
    inputs = kinds.sent(MODELS[name].columns(3, 8))
    newest = max(at.gateway.repository.models[name].served)
    by_default = check(at, channel, form, Question(name, inputs), how)
    assert check(at, channel, form, Question(name, inputs, version=newest), how) == by_default
    assert check(at, channel, form, Question(name, inputs, version=1), how) != by_default
    if not form.startswith("kserve"):
        stable = check(at, channel, form, Question(name, inputs, label="stable"), how)
        assert stable == check(at, channel, form, Question(name, inputs, version=1), how)
        for label in ("gone", "stabl", "stables", "研发"):
            assert check(at, channel, form, Question(name, inputs, label=label), "python")[0] == "NOT_FOUND"
    for version in (2, 10**17):
        assert check(at, channel, form, Question(name, inputs, version=version), "python")[0] == "NOT_FOUND"
    assert check(at, channel, form, Question(name + "s", inputs), "python")[0] == "NOT_FOUND"


@pytest.mark.parametrize("form", ["kserve", "kserve_raw", "tf_serving"])
def test_outputs_that_are_asked_for(at: Inside, channel: grpc.Channel, form: str) -> None:
    for name in ("grade", "linear"):
        question = Question(name, kinds.sent(MODELS[name].columns(70, 9)))
        for wanted in (["label"], ["warnings", "grade"], ["coverage"], ["margin", "probabilities"]):
            assert check(at, channel, form, replace(question, wanted=wanted), MODELS[name].how)[0] == "OK"
        for wanted in (["labels"], ["label", "label"], ["label", "elsewhere"]):
            check(at, channel, form, replace(question, wanted=wanted), "python")


WRONG: dict[str, dict[str, Any]] = {
    "no rows": {"hours": np.array([])},
    "too long": {"hours": np.array([169.0])},
    "below": {"hours": np.array([40.0, -1])},
    "infinite": {"hours": np.array([40.0]), "overtime": np.array([np.inf])},
    "required": {"overtime": np.array([1.0])},
    "required in one row": {"hours": np.array([1.0, np.nan])},
    "unknown column": {"hours": np.array([40.0]), "shoes": np.array([40.0])},
    "lengths": {"hours": np.array([40.0]), "overtime": np.array([40.0, 1])},
    "a text for a number": {"hours": ["many"]},
    "a code that cannot be": {"hours": np.array([40.0]), "department": np.array([-np.inf])},
    "mixed": {"hours": np.array([40.0]), "features": np.zeros((1, 8), np.float32)},
    "other features": {"features": np.zeros((2, 7), np.float32)},
    "cube": {"features": np.zeros((2, 8, 1), np.float32)},
    "missing features": {"features": np.full((2, 8), np.nan, np.float32)},
    "infinite features": {"features": np.full((2, 8), np.inf, np.float32)},
    "a history of what has none": {"hours": np.ones((1, 12))},
    "no inputs": {},
}


@pytest.mark.parametrize("form", PATHS)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_gets_the_same_error(at: Inside, channel: grpc.Channel, wrong: str, form: str) -> None:
    for name in ("grade", "linear"):
        assert check(at, channel, form, Question(name, WRONG[wrong]), "python")[0] == "INVALID_ARGUMENT"


def test_a_history_of_one_month_is_no_number(at: Inside, channel: grpc.Channel) -> None:
    """In epm.v1; in the other protocols a number a row may come in two dimensions."""
    for name in ("grade", "linear"):
        question = Question(name, {"hours": np.ones((1, 1))})
        assert check(at, channel, "epm", question, "python")[0] == "INVALID_ARGUMENT"
        for form in set(PATHS) - {"epm"}:
            assert check(at, channel, form, question, MODELS[name].how)[0] == "OK"


@pytest.mark.parametrize("form", PATHS)
def test_calls_with_any_priority_and_deadline(at: Inside, channel: grpc.Channel, form: str) -> None:
    for name in ("grade", "linear"):
        request = body(form, Question(name, kinds.sent(MODELS[name].columns(3, 1))))
        expected = at.run(by_python(at.gateway.pipeline, form, request))
        for priority in ("low", "normal"):
            with answered_by(at, **{MODELS[name].how: 1}):
                call = channel.unary_unary(PATHS[form])
                assert call(request, timeout=60, metadata=(("epm-priority", priority),)) == expected[1]
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(PATHS[form])(request, timeout=60, metadata=(("epm-priority", "high"),))
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_large_calls_that_are_handed_over_one_after_the_other(at: Inside, channel: grpc.Channel) -> None:
    """More of them than the ring has room for: it is used again and again, from every place in it."""
    made = MODELS["performance_model"]
    question = Question(made.name, kinds.sent(made.columns(3001, 2)))
    room = at.listener._loops[0].from_loop.ring.data.size
    asked = 0
    for number in range(200):
        request = body("kserve_raw", question.rows(number, 3000 - 91 * (number % 20)))
        assert sent(channel, "kserve_raw", request)[0] == "OK"
        asked += len(request)
        if asked > 2 * room:
            return
    raise AssertionError(f"{asked} bytes were sent, expected more than {2 * room}")


def test_a_gateway_of_few_rows_answers_no_more(tmp_path: Any) -> None:
    made = kinds.contract("grade", kinds.models.GRADE)
    kinds.write_forest(tmp_path, made)
    columns = kinds.sent(kinds.models.golden_columns(11, 1))
    with Inside(tmp_path, max_rows=10) as few, grpc.insecure_channel(few.grpc) as asked:
        for form in PATHS:
            assert check(few, asked, form, Question("grade", columns).rows(0, 10), "compiled")[0] == "OK"
            assert check(few, asked, form, Question("grade", columns), "python")[0] == "INVALID_ARGUMENT"


def test_auto_keeps_nothing_of_a_forest_however_slow_it_was_when_it_was_loaded(at: Inside) -> None:
    """Loops would leave it to Python otherwise."""
    (served,) = at.gateway.repository.models["performance_model"].served.values()
    slow = replace(served, cost=(1.0, 1.0))
    settings = at.gateway.settings
    kept = [Keeping().cache(slow, replace(settings, listener=name, cache="auto")) for name in ("h2", "grpc_aio")]
    assert [cache is None for cache in kept] == [True, False]
