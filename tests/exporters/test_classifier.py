"""Training a classifier: what is kept, what stands beside it, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from exporters.data.dataset import Dataset
from exporters.data.schema import Column
from exporters.errors import DataError
from exporters.models import classifier, parts
from exporters.models.algorithms import ALGORITHMS
from exporters.models.made import Made
from exporters.quality import measures
from serving.contract import Text

pytestmark = pytest.mark.unit


def macro_f1(made: Made, name: str) -> float:
    predicted = made.candidates[name]["probabilities"].argmax(axis=1)
    return measures.score(measures.confusion(made.held_out.target, predicted, 3)).macro_f1


def with_column(dataset: Dataset, name: str, cells: np.ndarray) -> Dataset:
    kind = "category" if cells.dtype.kind == "U" else "number"
    column = Column(name, kind, Text(name, name))
    table = replace(dataset.table, columns={**dataset.table.columns, name: cells})
    return replace(dataset, table=table, inputs=(*dataset.inputs, column))


def test_the_better_forest_is_published_and_the_other_stands_beside_it_with_the_baselines(made: Made):
    forests = [algorithm.name for algorithm in ALGORITHMS]
    assert set(made.candidates) == {*forests, classifier.LINEAR, classifier.COMMONEST}
    assert macro_f1(made, made.published) == max(macro_f1(made, name) for name in forests)
    for said in made.candidates.values():
        assert said["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_learning_curve_ends_with_the_published_model(made: Made):
    sizes = [rows for rows, _ in made.curve]
    assert sizes == sorted(sizes)
    assert made.curve[-1][1] == macro_f1(made, made.published)


def test_rare_classes_weigh_more_in_training_and_no_more_in_the_probabilities():
    random = np.random.default_rng(0)
    n = 12_000
    X = random.normal(size=(n, 4)).astype(np.float32)
    y = np.where(X[:, 0] + 2 * random.normal(size=n) > 4.0, 0, 1)  # one in twenty-five
    apart = np.arange(n) % 3 == 0
    trained = classifier.train(ALGORITHMS[0], X, y, apart, 0, trees=20)
    raw = trained.algorithm.scores(trained.estimator, X[apart])
    uncalibrated = np.exp(raw[:, 0]) / np.exp(raw).sum(axis=1)
    said = trained.answers({"features": X[apart]})["probabilities"][:, 0]
    happened = (y[apart] == 0).mean()
    assert uncalibrated.mean() > 2 * happened
    assert said.mean() == pytest.approx(happened, rel=0.05)


def test_a_column_that_knows_the_answer_is_refused(dataset: Dataset):
    told = np.where(np.random.default_rng(0).random(len(dataset.table)) < 0.002, 0, dataset.table.target) * 1.0
    with pytest.raises(DataError, match="too good to be known in time: 'interview'"):
        classifier.make("m", with_column(dataset, "interview", told), 3, 4)


def test_a_near_perfect_proxy_of_a_protected_attribute_is_no_input(dataset: Dataset):
    club = np.where(dataset.table.attributes["gender"] == "female", "netball", "football")
    made = classifier.make("m", with_column(dataset, "club", club), 3, 4)
    assert "club" not in {raw.name for raw in made.contract.inputs}
    (reason,) = (one.reason for one in made.contract.left_out if one.name == "club")
    assert "proxy of 'gender'" in reason


def test_every_class_is_learnt_from_and_calibrated_on_or_refused(dataset: Dataset):
    table = dataset.table
    keep = np.flatnonzero(table.target != 0)
    rare = np.flatnonzero(table.target == 0)
    owners = len(set(table.groups[rare[:8]].tolist()))
    assert owners >= 4
    few = table.rows(np.concatenate([keep, rare[:8]]))
    apart = parts.set_apart(few, 0.2, 3)
    assert (few.target[apart] == 0).sum() >= 2
    assert (few.target[~apart] == 0).sum() >= 2
    with pytest.raises(DataError, match="class 'A': got 3 training rows"):
        parts.set_apart(table.rows(np.concatenate([keep, rare[:3]])), 0.2, 3)
