"""Dashboards as they are committed: up to date, complete, and laid out so that nothing covers anything."""

import itertools
import re
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.models import units

from k8s.monitoring.dashboards import FOLDER, files
from k8s.monitoring.dashboards.build import text
from k8s.monitoring.dashboards.panels import Board, Panel, Query, Row
from k8s.monitoring.dashboards.reading import Shown, filled, panels, variables
from k8s.monitoring.units import written

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
SHOWN = [(name, panel) for name, made in files().items() for panel in panels(made)]
GROUPED = re.compile(r"(?:topk\(8, |histogram_quantile\([\d.]+, )?(?:sum|max|min|count) by \((?P<by>[^)]*)\)")
PANELS = [pytest.param(panel, id=f"{name}: {panel.title}") for name, panel in SHOWN if panel.kind != "row"]


def test_the_committed_files_are_what_their_descriptions_say() -> None:
    committed = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    assert committed == files()


def test_the_same_descriptions_give_the_same_text() -> None:
    assert files() == files()


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows(panel: Shown) -> None:
    assert panel.title
    assert re.fullmatch(r"[A-Za-z].{20,}\.", panel.description), panel.description
    assert panel.unit in UNITS or panel.unit.startswith("suffix: ")
    assert panel.queries
    assert all(query.expr and query.legend for query in panel.queries)


@pytest.mark.parametrize("panel", PANELS)
def test_a_legend_names_only_labels_that_its_query_keeps(panel: Shown) -> None:
    for query in panel.queries:
        kept = GROUPED.match(query.expr)
        labels = set(kept["by"].split(", ")) if kept else {"instance"}
        assert set(re.findall(r"{{(\w+)}}", query.legend)) <= labels, query


@pytest.mark.parametrize("name", files())
def test_no_panel_covers_another_and_no_title_comes_twice(name: str) -> None:
    shown = panels(files()[name])
    assert len({panel.title for panel in shown}) == len(shown)
    cells = [
        (panel.at[0] + x, panel.at[1] + y)
        for panel in shown
        for x, y in itertools.product(range(panel.size[0]), range(panel.size[1]))
    ]
    assert len(set(cells)) == len(cells) == 24 * (max(y for _, y in cells) + 1)


@pytest.mark.parametrize("name", files())
def test_every_variable_in_a_query_is_one_that_the_page_has(name: str) -> None:
    known = dict.fromkeys([*variables(files()[name]), "__rate_interval"], "x")
    for panel in panels(files()[name]):
        assert [query.expr for query in panel.queries if "$" in filled(query.expr, known)] == []


def test_panels_that_leave_a_line_unfinished_are_an_error() -> None:
    narrow = Panel("Calls", "Calls.", "reqps", (Query("up", "up"),), width=8)
    with pytest.raises(ValueError, match=r"Traffic: panels are 16 wide, expected a multiple of 24"):
        text(Board("one", "One", "One.", (Row("Traffic", (narrow, narrow)),)))


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    provisioning = FOLDER.parent / "grafana"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text("utf-8"))["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "epm.yaml").read_text("utf-8"))["providers"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


def test_the_page_shows_a_picture_of_each_dashboard() -> None:
    page = (ROOT / "docs" / "dashboards.md").read_text("utf-8")
    shown = re.findall(r"\(images/([\w-]+\.png)\)", page)
    assert sorted(shown) == sorted(f"dashboard-{Path(name).stem}.png" for name in files())
    assert [name for name in shown if not (ROOT / "docs" / "images" / name).is_file()] == []


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.00025, "s", "250 µs"),
        (0.0105, "s", "10.5 ms"),
        (3.0, "s", "3 s"),
        (1800.0, "s", "30 min"),
        (86_400.0, "s", "24 h"),
        (0.0, "s", "0"),
        (3 * 2**20, "bytes", "3 MiB"),
        (0.9995, "percentunit", "100 %"),
        (-1.25, "percentunit", "-125 %"),
        (120.0, "reqps", "120 calls/s"),
        (12345.6, "suffix: rows/s", "12,346 rows/s"),
        (2.0, "none", "2"),
    ],
)
def test_values_are_written_with_their_unit(value: float, unit: str, said: str) -> None:
    assert written(value, unit) == said
