"""Figures of public tables: folds that keep apart, an ensemble chosen inside them, and the page that was committed."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression

from exporters import names
from exporters.data import mapping as mappings
from exporters.data.dataset import Dataset
from exporters.data.schema import Column
from exporters.data.sheet import Sheet
from exporters.data.table import Table
from exporters.errors import DataError
from exporters.public import __main__ as command
from exporters.public import cross_validation, report, tables
from exporters.public.algorithms import ALL, ENSEMBLE, LINEAR, PLAIN, REFERENCE
from exporters.public.cross_validation import FOLDS, SEEDS, Figures, cross_validate
from exporters.public.ensemble import SelectedEnsemble, class_weights, selected
from exporters.public.scores import SCORES
from exporters.public.source import choose
from serving.contract import Text
from tests.exporters.conftest import DATA

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"
FIGURE = re.compile(r"[+-]?\d\.\d{3}(?: ± \d\.\d{3})? \[[+-]?\d\.\d{3}, [+-]?\d\.\d{3}\](?:: shown)?")
needs_data = pytest.mark.skipif(
    not all((DATA / table.file).is_file() for table in tables.TABLES.values()), reason="../shared/data is not there"
)
pytestmark = pytest.mark.integration


def _dataset(rows: int = 60) -> Dataset:
    """Rows whose number is an input, so that a matrix tells its rows; the last one is alone in its category."""
    number = np.arange(rows, dtype=np.float64)
    place = np.array(["here"] * (rows - 1) + ["nowhere else"])
    target = (np.arange(rows) % 3 == 0).astype(np.int64)
    table = Table({"number": number, "place": place}, target, ("leaves", "stays"), number.astype(str))
    inputs = (Column("number", "number", Text("number", "编号")), Column("place", "category", Text("place", "地点")))
    return Dataset(Text("attrition", "离职"), table, inputs, {}, "rows of a test", "", True)


class _Recorder:
    """A classifier that says the share of each class and remembers the numbers of the rows that it was shown."""

    def __init__(self) -> None:
        self.fitted: set[float] = set()
        self.asked: set[float] = set()
        self.rows = 0

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> "_Recorder":
        self.fitted = set(X[:, 0].tolist())
        self.shares = np.bincount(y) / len(y)
        return self

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        self.asked, self.rows = set(X[:, 0].tolist()), len(X)
        return np.tile(self.shares, (len(X), 1))

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        return self.predict_proba(X).argmax(axis=1)


def test_no_algorithm_is_shown_a_row_that_it_is_tested_on():
    made = []

    def recorder(seed: int, aim: str) -> _Recorder:
        assert aim == "AUC"
        made.append(_Recorder())
        return made[-1]

    cross_validate(_dataset(), {"recorder": recorder}, ("AUC", "accuracy"))
    assert len(made) == FOLDS * len(SEEDS)
    for one in made:
        clipped = {min(one.fitted), max(one.fitted)}  # a test row beyond the training range takes its end
        assert not one.fitted & (one.asked - clipped)
        assert len(one.fitted) == 48
    assert sum(one.rows for one in made) == 60 * len(SEEDS), "each seed asks for every row once"


def test_features_are_fitted_on_the_training_part():
    widths = {fold.X.shape[1] for fold in cross_validation._folds(_dataset())}
    assert widths == {3, 4}, "a category that only a test row has is no feature of that fold"


def test_folds_give_the_same_figures_in_order_and_side_by_side():
    algorithms = {LINEAR: PLAIN[LINEAR]}
    one = cross_validate(_dataset(), algorithms, ("AUC",))
    with ThreadPoolExecutor(2) as pool:
        other = cross_validate(_dataset(), algorithms, ("AUC",), pool.map)
    assert np.array_equal(one[LINEAR]["AUC"].values, other[LINEAR]["AUC"].values)


def test_mean_spread_and_interval_of_known_values():
    values = np.array([[0.8, 0.9], [0.7, 0.8]])
    figures = Figures(values)
    assert figures.mean == pytest.approx(0.8)
    assert figures.spread == pytest.approx(0.05)
    assert figures.half_width == pytest.approx(2.1448 * np.sqrt((1 / 4 + 1 / 4) * (0.02 / 3)))
    assert figures.minus(Figures(values - 0.1)).mean == pytest.approx(0.1)
    assert figures.minus(Figures(values - 0.1)).half_width == pytest.approx(0.0)


def test_the_quantile_is_that_of_all_folds_and_seeds():
    assert stats.t.ppf(0.975, FOLDS * len(SEEDS) - 1) == pytest.approx(cross_validation.T_QUANTILE, abs=1e-4)


def test_auc_is_of_the_first_class():
    truth = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])
    assert SCORES["AUC"](truth, probabilities, truth) == 0.75


def test_the_ensemble_takes_the_models_that_help_each_other_and_no_other():
    y = np.array([0, 0, 1, 1])
    one = np.array([0.9, 0.2, 0.1, 0.3])
    other = np.array([0.3, 0.9, 0.4, 0.1])
    useless = np.array([0.1, 0.1, 0.9, 0.9])
    unseen = [np.stack([p, 1 - p], axis=1) for p in (one, other, useless)]
    shares = selected(unseen, y, SCORES["AUC"])
    assert shares.sum() == pytest.approx(1.0)
    assert shares[2] == 0.0
    assert min(shares[:2]) > 0.0, "neither puts all who leave above all who stay; together they do"


def test_weights_bring_back_a_class_that_is_never_the_likeliest():
    y = np.array([0] * 8 + [1] * 2)
    first = np.array([0.9] * 7 + [0.6, 0.55, 0.55])
    probabilities = np.stack([first, 1 - first], axis=1)
    weights = class_weights(probabilities, y, SCORES["macro-F1"])
    assert (probabilities.argmax(axis=1) == 0).all()
    assert ((probabilities * weights).argmax(axis=1) == y).all()


def test_the_ensemble_chooses_on_rows_that_the_model_was_not_fitted_on():
    seen: list[tuple[int, set[float]]] = []

    class Spy(LogisticRegression):
        def fit(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> "Spy":
            self.rows = set(X[:, 0].tolist())
            return super().fit(X, y)

        def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
            seen.append((len(self.rows), self.rows & set(X[:, 0].tolist())))
            return super().predict_proba(X)

    X = np.arange(60, dtype=np.float32)[:, None]
    y = (X[:, 0] < 30).astype(np.int64)
    SelectedEnsemble((lambda seed: Spy(),), "AUC", 0).fit(X, y)
    assert seen == [(40, set())] * 3


def test_the_ensemble_leaves_out_a_bad_model_and_gives_the_same_answers_twice():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    y = (X[:, 0] + 0.5 * rng.normal(size=300) < 0).astype(np.int64)
    members = (lambda seed: LogisticRegression(), lambda seed: LogisticRegression(C=1e-9, fit_intercept=False))
    one, other = (SelectedEnsemble(members, "macro-F1", 5).fit(X, y) for _ in range(2))
    assert one.shares[0] > 0.9
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))
    assert (one.predict(X) == y).mean() > 0.8


def test_a_row_that_repeats_an_earlier_one_is_dropped_and_lines_stay_true():
    sheet = Sheet({"a": ["1", "2", "1", "1"], "b": ["x", "x", "x", "y"]}, [2, 3, 4, 6], "digest")
    assert tables.without_repeats(sheet) == Sheet({"a": ["1", "2", "1"], "b": ["x", "x", "y"]}, [2, 3, 6], "digest")


@needs_data
@pytest.mark.parametrize("table", tables.TABLES.values(), ids=tables.TABLES)
def test_what_the_remark_counts_is_in_the_file(table: tables.PublicTable):
    dataset = table.load(DATA)
    assert f"{len(dataset.table):,}" in table.remark
    for name, count in zip(dataset.table.classes, np.bincount(dataset.table.target), strict=True):
        assert name == "stays" or f"{count:,}" in table.remark


@needs_data
@pytest.mark.parametrize("table", tables.TABLES.values(), ids=tables.TABLES)
def test_no_protected_attribute_is_an_input_unless_a_variant_brings_it_back(table: tables.PublicTable):
    dataset = table.load(DATA)
    inputs = {column.name for column in dataset.inputs}
    assert not inputs & {"Age", "Gender", "MaritalStatus"}
    first, last = table.variants[0], table.variants[-1]
    assert not set(first.brought_back) & {"Age", "Gender", "MaritalStatus"}, "the figure without them stands first"
    assert set(last.brought_back) <= set(dataset.left_out)


@needs_data
def test_leaving_is_the_first_class_and_a_byte_order_mark_is_no_name():
    dataset = tables.IBM.load(DATA)
    assert dataset.table.classes == ("leaves", "stays")
    assert [column.name for column in dataset.inputs][:2] == ["BusinessTravel", "DailyRate"]
    assert "Age" in dataset.table.attributes


@needs_data
def test_a_column_is_left_out_as_constant_just_when_it_is():
    dataset = tables.IBM.load(DATA)
    said = {name for name, reason in dataset.left_out.items() if reason == "the same value in every row"}
    attributes, columns = dataset.table.attributes, dataset.table.columns
    assert said == {name for name, cells in {**columns, **attributes}.items() if len(np.unique(cells)) == 1}


@needs_data
def test_no_row_of_hr_stands_there_twice():
    dataset = tables.HR.load(DATA)
    rows = list(zip(*(cells.tolist() for cells in dataset.table.columns.values()), dataset.table.target, strict=True))
    assert len(set(rows)) == len(rows) == 11_991


@pytest.mark.parametrize("table", tables.TABLES.values(), ids=tables.TABLES)
def test_another_copy_of_a_file_is_refused(table: tables.PublicTable, tmp_path: Path):
    mapping = mappings.load(Path(tables.__file__).with_name(f"{table.name}.toml"))
    names = dict.fromkeys([mapping.target.column, *([mapping.id] if mapping.id else []), *mapping.columns])
    (tmp_path / table.file).write_text(f"{','.join(names)}\n{','.join('1' for _ in names)}\n")
    with pytest.raises(DataError, match="sha256"):
        table.load(tmp_path)


def test_an_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(DataError, match="got 'kaggle', expected one of ibm, hr, inx"):
        choose("kaggle", DATA)


def test_the_command_line_knows_every_table_and_no_other():
    assert {name: table.model for name, table in tables.TABLES.items()} == names.PUBLIC


@needs_data
def test_a_source_has_a_section_for_its_card(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(report, "cross_validate", _canned)
    source = choose("ibm", DATA)
    assert (source.model, len(source.dataset.table)) == ("attrition_ibm", 1470)
    text = source.section()
    assert "| **AUC** | logistic regression | XGBoost |\n" in text
    assert "| without protected attributes | 0.500 ± 0.000 [0.500, 0.500] |" in text
    assert "| *reference, all columns* | 0.838 ± 0.003 | 0.825 ± 0.005 |\n" in text


def test_a_difference_is_called_shown_only_when_its_interval_lies_above_0():
    better, worse = Figures(np.full((3, 5), 0.6)), Figures(np.full((3, 5), 0.5))
    title = tables.HR.variants[0].title
    for ensemble, shown in ((better, True), (worse, False)):
        found = {title: {name: {"AUC": worse} for name in PLAIN} | {ENSEMBLE: {"AUC": ensemble}}}
        assert (": shown |" in report.page_section([(tables.HR, found)])) is shown


def test_only_what_stands_between_the_markers_is_replaced():
    page = f"# Models\n\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.replaced(page, f"{report.BEGIN}\nnew\n{report.END}") == page.replace("old", "new")


def test_a_page_without_a_place_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "page.md").write_text("# Models\n")
    assert command.main(["--page", str(tmp_path / "page.md"), "--data-dir", "/nowhere"]) == 1
    assert "the page has no place for the figures" in capsys.readouterr().err


def test_the_committed_section_is_what_the_command_writes_but_for_the_figures():
    """Pins, settings, references and remarks are those of the code; figures are held to the data below."""
    canned = []
    for table in tables.TABLES.values():
        of_variant = _canned(_dataset(), ALL, table.scores, map)
        canned.append((table, {variant.title: of_variant for variant in table.variants}))
    assert FIGURE.sub("#", _committed()) == FIGURE.sub("#", report.page_section(canned))


def test_the_committed_figures_reach_the_references():
    all_columns = {
        ("IBM attrition", "AUC"): (0.838, 0.0),
        ("HR_comma_sep attrition", "AUC"): (0.985, 0.0),
        ("INX performance grade", "macro-F1"): (0.899, 0.015),
    }
    for (title, score), (reference, spread) in all_columns.items():
        line = next(line for line in _lines(title, score) if line.startswith("| all columns"))
        best = max(float(text) for text in re.findall(r"(\d\.\d{3}) ±", line))
        assert best >= reference - spread, line


@needs_data
def test_committed_figures_of_ibm_come_from_the_file():
    table = replace(tables.IBM, variants=tables.IBM.variants[1:])
    (found,) = report.results(table, table.load(DATA), REFERENCE).values()
    line = next(line for line in _lines("IBM attrition", "AUC") if line.startswith("| all columns |"))
    for name, text in zip(REFERENCE, line.split(" | ")[1:3], strict=True):
        assert _numbers(text) == pytest.approx(_numbers(report.cell(found[name]["AUC"])), abs=2e-3)


@needs_data
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_committed_figures_are_measured_again(tmp_path: Path):
    (tmp_path / "page.md").write_text(PAGE.read_text("utf-8"), "utf-8")
    assert command.main(["--page", str(tmp_path / "page.md"), "--data-dir", str(DATA)]) == 0
    again = (tmp_path / "page.md").read_text("utf-8")
    figures, committed = (FIGURE.findall(text) for text in (again, PAGE.read_text("utf-8")))
    for one, other in zip(figures, committed, strict=True):
        assert _numbers(one) == pytest.approx(_numbers(other), abs=5e-3)  # another processor rounds differently


def _canned(
    dataset: Dataset, algorithms: dict[str, object], scores: tuple[str, ...], each: object
) -> dict[str, dict[str, Figures]]:
    return {name: {score: Figures(np.full((3, 5), 0.5)) for score in scores} for name in algorithms}


def _committed() -> str:
    page = PAGE.read_text("utf-8")
    return page[page.index(report.BEGIN) : page.index(report.END) + len(report.END)]


def _lines(title: str, score: str) -> list[str]:
    """Lines of one score's table of the committed section."""
    table = _committed().split(f"### {title}\n")[1].split(f"| **{score}** |")[1].split("\n\n")[0]
    return table.splitlines()


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-]?\d\.\d{3}", text)]
