"""A contract is read strictly: what it does not say clearly is refused."""

import json
from pathlib import Path

import pytest

from serving.contract import Contract
from serving.errors import ContractError
from tests.support import attrition
from tests.support.models import NUMBERS, contract

pytestmark = pytest.mark.unit


def test_a_contract_survives_json_and_gives_the_same_bytes() -> None:
    for made in (contract("small"), contract("numbers", NUMBERS), attrition.contract()):
        again = Contract.from_json(made.to_json())
        assert again == made
        assert Contract.from_json(again.to_json()).to_json() == again.to_json()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c.pop("entity_type"), "entity_type"),
        (lambda c: c.update(format=2), "format is 2, this gateway reads format 1"),
        (lambda c: c["inputs"].append(c["inputs"][0]), "two inputs bear the same name"),
        (lambda c: c["inputs"][0].update(low="none"), r"\$.inputs\[0\].low"),
        (lambda c: c["inputs"][0].update(type="picture"), "picture"),
        (lambda c: c["inputs"][0].update(name="features"), "an input bears the name of a graph input"),
        (
            lambda c: c["program"]["steps"][0].update(inputs=["nobody"]),
            "reads 'nobody', which nothing before it writes",
        ),
        (lambda c: c["program"]["steps"][1].update(into="hours"), "'hours' is written twice"),
        (lambda c: c["program"]["features"].append("nobody"), "feature 'nobody' is written by no step"),
        (lambda c: c["tensors"][0].update(shape=[3]), r"0 graph inputs take float32\[n, 8\], expected 1"),
        (lambda c: c["outputs"][0].update(classes=["A"]), "at least two"),
        (lambda c: c.update(entity_type="Employee"), "entity_type is 'Employee'"),
        (lambda c: c.update(months=3), "3 months, but no input is a history"),
        (lambda c: [raw.update(weight=0) for raw in c["inputs"]], "sum to 0"),
        (lambda c: c["outputs"][0].update(label=""), "output 'grade': classes have a label"),
        (lambda c: c["outputs"][0].update(label="grade"), "'grade' would stand twice in an answer"),
        (lambda c: c["outputs"][0].update(name="margin"), "'margin' would stand twice in an answer"),
    ],
)
def test_a_contract_that_cannot_be_kept_is_refused(change, reason: str) -> None:
    made = json.loads(contract("small").to_json())
    change(made)
    with pytest.raises(ContractError, match=reason):
        Contract.from_json(json.dumps(made).encode())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda o: o[1].update(threshold=None), "output 'probability_6m': a threshold and a label belong together"),
        (lambda o: o[1].update(label=""), "output 'probability_6m': a threshold and a label belong together"),
        (lambda o: o[1].update(threshold=0), "a threshold lies between 0 and 1"),
        (lambda o: o[1].update(threshold=1), "a threshold lies between 0 and 1"),
        (lambda o: o[0].update(threshold=0.2, label="soon"), "a model has at most one label"),
        (lambda o: o.append(json.loads(contract("small").to_json())["outputs"][0]), "a model has at most one label"),
        (lambda o: o[0].update(tensor="probability_6m"), "'probability_6m' would stand twice in an answer"),
        (lambda o: o[0].update(tensor="label"), "'label' would stand twice in an answer"),
        (lambda o: o[0].update(tensor="coverage"), "'coverage' would stand twice in an answer"),
        (lambda o: o[0].update(name="probability_6m"), "two outputs bear the same name"),
    ],
)
def test_probabilities_that_cannot_be_told_apart_or_decide_twice_are_refused(change, reason: str) -> None:
    made = json.loads(attrition.contract().to_json())
    change(made["outputs"])
    with pytest.raises(ContractError, match=reason):
        Contract.from_json(json.dumps(made).encode())


def test_the_output_that_decides_is_the_one_with_a_label() -> None:
    assert contract("small").decision == contract("small").outputs[0]
    assert attrition.contract().decision == attrition.contract().outputs[1]
    assert contract("numbers", NUMBERS).decision is None
    assert attrition.contract().graph_outputs() == {
        "probability_3m": ("float32", ()),
        "probability_6m": ("float32", ()),
        "label": ("int32", ()),
    }


def test_a_missing_contract_is_a_contract_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="No such file"):
        Contract.load(tmp_path / "contract.json")
