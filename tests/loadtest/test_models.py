"""The figures of the published models: their page, their bounds, and how they are measured, on tiny models."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.data.table import Table
from exporters.formats import parity, triton_config
from exporters.fresh_process import FreshProcess
from exporters.models import inputs
from exporters.publishing import export, publish
from loadtest.models import __main__ as command
from loadtest.models import bounds, formats, nearness, page
from tests.exporters import random_models

P3, P6, PERFORMANCE = "leaves within 3 months", "leaves within 6 months", "performance_model/3"
EMPTY = f"# Models\n\nbefore\n\n{page.BEGIN}\n{page.END}\n\nafter\n"


def near(*outputs: str, rows: int = 24_000) -> dict[str, Any]:
    said = {"auc": 0.73, "best_possible_auc": 0.741, "gap": 0.011, "calibration_error": 0.008}
    return {"rows": rows, "outputs": [{"output": name, **said} for name in outputs]}


def published(model: str, *outputs: str) -> dict[str, Any]:
    measured = {"rows": 10_000, "largest_difference": 3.3e-7, "labels_that_differ": 0}
    timed = {"microseconds": {"1": 12.0, "256": 345.0}}
    lines = [{"format": "ONNX", "bytes": 2048, **measured, **timed}, {"format": "gateway", "bytes": None, **measured}]
    lines[1] |= timed
    return {"model": model, "formats": lines, "nearness": near(*outputs)}


FIGURES: dict[str, Any] = {
    "machine": {"cpu": "a processor", "cores": 2},
    "published": [published(PERFORMANCE, "A", "B"), published("attrition_model/1", P3, P6)],
    "second": {"model": "attrition_second", "published": "blend", "nearness": near(P3, P6, rows=9)},
}


def spoilt(figure: object, *where: str | int) -> dict[str, Any]:
    """The figures with one of them changed."""
    figures = copy.deepcopy(FIGURES)
    at: Any = figures
    for key in where[:-1]:
        at = at[key]
    assert where[-1] in at
    at[where[-1]] = figure
    return figures


def of(model: int, output: int, what: str) -> tuple[str | int, ...]:
    return "published", model, "nearness", "outputs", output, what


BROKEN = [
    (0.0201, of(0, 1, "calibration_error"), "performance_model/3, B: calibration error 0.0201, at most 0.02"),
    (0.0201, of(1, 0, "calibration_error"), f"attrition_model/1, {P3}: calibration error 0.0201, at most 0.02"),
    (0.0151, of(1, 0, "gap"), f"attrition_model/1, {P3}: AUC gap 0.0151, at most 0.015"),
    (0.0151, of(1, 1, "gap"), f"attrition_model/1, {P6}: AUC gap 0.0151, at most 0.015"),
    (float("nan"), of(1, 1, "gap"), f"attrition_model/1, {P6}: AUC gap nan, at most 0.015"),
    (19_999, ("published", 0, "nearness", "rows"), "performance_model/3: 19999 rows, at least 20000"),
    (1.1e-5, ("published", 1, "formats", 0, "largest_difference"), "attrition_model/1, ONNX: largest difference 1.1e-"),
    (1, ("published", 0, "formats", 1, "labels_that_differ"), "performance_model/3, gateway: labels that differ 1, at"),
    (0.0301, ("second", "nearness", "outputs", 0, "gap"), f"attrition_second, {P3}: AUC gap 0.0301, at most 0.03"),
    (
        0.04,
        ("second", "nearness", "outputs", 1, "calibration_error"),
        f"attrition_second, {P6}: calibration error 0.04",
    ),
    ("other/1", ("published", 1, "model"), "attrition_model: no figures"),
]


@pytest.mark.unit
def test_figures_within_bounds_break_none_up_to_the_bound_itself():
    assert bounds.broken(FIGURES) == []
    for figure, where in ((0.015, of(1, 0, "gap")), (0.02, of(0, 0, "calibration_error")), (0.5, of(0, 0, "gap"))):
        assert bounds.broken(spoilt(figure, *where)) == []


@pytest.mark.unit
@pytest.mark.parametrize(("figure", "where", "says"), BROKEN)
def test_each_figure_out_of_bounds_is_named_with_its_bound(figure, where, says):
    (sentence,) = bounds.broken(spoilt(figure, *where))
    assert sentence.startswith(says)


@pytest.mark.unit
def test_the_page_says_the_figures_between_its_markers():
    text = page.replaced(EMPTY, page.section(FIGURES))
    assert text.startswith("# Models\n\nbefore\n")
    assert text.endswith("\n\nafter\n")
    assert "on a processor, 2 cores" in text
    assert "| attrition_model/1 | ONNX | 2 | 3.3e-07 | 0 of 10000 | 12 | 345 |" in text
    assert "| attrition_model/1 | gateway |  | 3.3e-07 |" in text
    assert f"| attrition_model/1 | {P6} | 24000 | 0.7300 | 0.7410 | 0.0110 | 0.0080 |" in text
    assert f"| attrition_second | {P3} | 9 |" in text
    assert page.replaced(text, page.section(FIGURES)) == text
    with pytest.raises(ValueError, match="no place for the figures"):
        page.replaced(page.BEGIN, "")


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., int]:
    """Runs the command on a page and figures of their own."""
    (tmp_path / "models.md").write_text(EMPTY)

    def _written(*more: str) -> int:
        return command.main(
            ["--page", str(tmp_path / "models.md"), "--results", str(tmp_path / "figures" / "models.json"), *more]
        )

    return _written


@pytest.mark.unit
def test_a_report_writes_the_page_again_from_the_figures_and_measures_nothing(written, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "measure", None)
    assert written("--report") == 1, "there are no figures yet"
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "models.json").write_text(json.dumps(FIGURES))
    assert written("--report") == 0
    assert (tmp_path / "models.md").read_text() == page.replaced(EMPTY, page.section(FIGURES))


@pytest.mark.unit
def test_a_figure_out_of_bounds_fails_and_the_page_is_written_all_the_same(written, tmp_path, monkeypatch, capsys):
    figures = spoilt(0.0987, *of(1, 0, "gap"))
    monkeypatch.setattr(command, "measure", lambda repository: figures)
    assert written() == 1
    told = f"models: out of bounds: attrition_model/1, {P3}: AUC gap 0.0987, at most 0.015 is allowed"
    assert capsys.readouterr().err.splitlines() == [told]
    assert json.loads((tmp_path / "figures" / "models.json").read_text()) == figures
    assert "0.0987" in (tmp_path / "models.md").read_text()
    assert written("--report") == 1


@pytest.mark.unit
def test_a_page_without_a_place_is_refused_before_the_long_part(written, tmp_path, monkeypatch, capsys):
    (tmp_path / "models.md").write_text("# Models\n")
    monkeypatch.setattr(command, "measure", None)
    assert written() == 1
    assert "no place for the figures" in capsys.readouterr().err


@pytest.fixture(scope="module")
def process() -> Iterator[FreshProcess]:
    """TensorFlow takes seconds to import."""
    with FreshProcess() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def versions(process: FreshProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model -> folder of a published version of random weights; that of horizons without a SavedModel."""
    root, found = tmp_path_factory.mktemp("tiny"), {}
    made = [random_models.made(random_models.grader()), random_models.made(random_models.blend())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "FreshProcess", lambda: nullcontext(process))
        exports = [export.export(made[0], 0, rows=300)]
        patch.setattr(export, "_saved_model", lambda *_: ({}, []))  # that of an LSTM takes seconds
        exports.append(export.export(made[1], 0, rows=300))
    for trained, exported in zip(made, exports, strict=True):
        contract, files = trained.contract, {**exported.files, "parity.json": parity.report(exported.agreements)}
        found[contract.model] = publish.publish(root, contract.model, files, triton_config.render(contract))
    return found


@pytest.mark.integration
def test_each_format_of_a_version_has_size_parity_and_latency(versions, process):
    folder = versions["performance_model"]
    figures = formats.measure(folder, process, seconds=0.01)
    assert figures["model"] == "performance_model/1"
    graph, saved, gateway = figures["formats"]
    assert graph["bytes"] == (folder / "model.onnx").stat().st_size
    assert saved["bytes"] > (folder / "saved_model.pb").stat().st_size
    assert gateway["bytes"] is None
    for one in figures["formats"]:
        assert one["rows"] == 300
        assert 0 <= one["largest_difference"] < 1e-5
        assert set(one["microseconds"]) == {"1", "256"}
        assert min(one["microseconds"].values()) > 0
    assert json.loads(json.dumps(figures)) == figures


def judged(true: np.ndarray, table: Table) -> Table:
    """Rows in which what is `true` decides by lot what happened. true: float64[n, classes]."""
    drawn = np.random.default_rng(1).random((len(table), 1))
    target = (drawn > true.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return replace(table, target=target, true_probabilities=true)


@pytest.mark.integration
def test_a_model_that_knows_the_true_probabilities_has_no_gap_and_one_that_does_not_has_one(versions):
    trained = random_models.made(random_models.grader(), rows=9_000)  # three calls of the backend, the last one shorter
    contract, columns = trained.contract, trained.held_out.columns
    table = replace(trained.held_out, columns={raw.name: columns[raw.name] for raw in contract.inputs})
    true = trained.trained.answers(inputs.tensors(contract, table.columns))["probabilities"].astype(np.float64)
    known = nearness.measure(versions["performance_model"], judged(true, table))
    assert known["rows"] == 9_000
    assert [one["output"] for one in known["outputs"]] == ["A", "B", "C"]
    for one in known["outputs"]:
        assert abs(one["gap"]) < 1e-3
        assert one["auc"] > 0.6
        assert one["calibration_error"] < 0.03
    other = nearness.measure(versions["performance_model"], judged(true[:, [1, 2, 0]], table))
    assert all(one["gap"] > 0.05 for one in other["outputs"])
    assert all(one["calibration_error"] > 0.05 for one in other["outputs"])


@pytest.mark.integration
def test_horizons_are_near_where_they_are_true_and_a_table_without_truth_is_refused(versions):
    trained = random_models.made(random_models.blend(), rows=5_000)
    table = trained.held_out
    said = trained.trained.answers(inputs.tensors(trained.contract, table.columns))
    p3, p6 = (said[name].astype(np.float64) for name in ("probability_3m", "probability_6m"))
    found = nearness.measure(versions["attrition_model"], judged(np.stack([p3, p6 - p3, 1 - p6], axis=1), table))
    assert [one["output"] for one in found["outputs"]] == ["3 months", "6 months"]
    assert all(abs(one["gap"]) < 1e-3 and one["calibration_error"] < 0.03 for one in found["outputs"])
    with pytest.raises(ValueError, match="true probabilities"):
        nearness.measure(versions["attrition_model"], table)


@pytest.mark.unit
@pytest.mark.parametrize(("model", "people"), [("performance_model", 60), ("attrition_model", 60)])
def test_people_whom_nobody_has_seen_are_those_of_the_newest_month(model, people):
    table = command.unseen(model, people)
    assert len(set(table.attributes["month"].tolist())) == 1
    assert 0 < len(table) <= people
    assert table.true_probabilities is not None
