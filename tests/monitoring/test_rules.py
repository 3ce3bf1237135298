"""Recording rules and alerts: promtool is content, every alert is tested both ways, and the tests can fail.

promtool is Prometheus' own; a real Prometheus and a real Redis that goes away are in test_end_to_end.py.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s.monitoring import generate
from tests.monitoring.promql import metric, selectors
from tests.monitoring.rule_files import FOLDER, RULES, TESTS, load, needed, promtool, reduced, rules

pytestmark = pytest.mark.integration

ROOT = FOLDER.parents[1]
RUNBOOK = "docs/operations.md"
FLIPPED = {">": "<=", "<": ">=", "==": "!="}
COMPARISON = re.compile(r"(?<![=!<>~])(==|>|<)(?![=~])")

ALERTS, RECORDS = rules("alert"), rules("record")


def test_promtool_is_content_with_the_configuration_and_the_rules() -> None:
    config = FOLDER / "prometheus.yaml"
    fine, said = promtool("check", "config", config)
    assert fine, said
    assert all(f"{path}" in said for path in RULES), f"{config.name} does not load all rules: {said}"
    fine, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert fine, said


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_do_what_promtools_tests_say(path: Path) -> None:
    fine, said = promtool("test", "rules", path)
    assert fine, said


def asked_of(alert: str) -> list[tuple[bool, dict[str, Any]]]:
    """All moments at which a promtool test looks at an alert: whether it fires, and the test."""
    return [
        (bool(one["exp_alerts"]), case)
        for path in TESTS
        for case in load(path)["tests"]
        for one in case.get("alert_rule_test", [])
        if one["alertname"] == alert
    ]


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_that_fires_and_one_that_is_silent_on_real_series(alert: str) -> None:
    asked = asked_of(alert)
    assert any(fires for fires, _ in asked), f"no case in which {alert} fires"
    names = {metric(one) for one in selectors(ALERTS[alert]["expr"])}
    names |= {metric(one) for name in needed(ALERTS[alert]["expr"]) for one in selectors(RECORDS[name]["expr"])}
    silent = [
        {metric(series["series"]) for series in case["input_series"]} & names for fires, case in asked if not fires
    ]
    assert any(silent), f"no case in which {alert} is silent though there are series that it looks at"


def mutants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each alert with one of its comparisons turned round."""
    for name, alert in ALERTS.items():
        expr = alert["expr"]
        for found in COMPARISON.finditer(expr):
            flipped = expr[: found.start()] + FLIPPED[found[0]] + expr[found.end() :]
            yield f"{name} at {found.start()}", alert | {"expr": flipped}


def test_every_comparison_that_is_turned_round_is_found_out_by_promtools_tests(tmp_path: Path) -> None:
    files = {}
    for number, (name, mutant) in enumerate(mutants()):
        files[name] = reduced(mutant, tmp_path / str(number))
    assert len(files) >= len(ALERTS)
    _, said = promtool("test", "rules", *(path for paths in files.values() for path in paths))
    assert len(re.findall("Unit Testing:", said)) == sum(map(len, files.values()))
    passed = set(re.findall(r"Unit Testing:  (\S+)\s+SUCCESS", said))
    missed = [name for name, paths in files.items() if all(f"{path}" in passed for path in paths)]
    assert not missed


def test_an_alert_as_it_is_passes_the_same_reduced_tests(tmp_path: Path) -> None:
    files = [path for name, alert in ALERTS.items() for path in reduced(alert, tmp_path / name)]
    fine, said = promtool("test", "rules", *files)
    assert fine, said


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_how_urgent_it_is_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == RUNBOOK
    lines = (ROOT / page).read_text("utf-8").splitlines()
    headings = [
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in lines if line[:1] == "#"
    ]
    assert headings.count(anchor) == 1, f"{page} has {headings.count(anchor)} headings {anchor!r}, expected one"
    section = "\n".join(lines).split("\n### ")
    assert any(f"`{alert}`" in part for part in section if part.lower().replace(" ", "-").startswith(f"{anchor}\n"))


def test_the_resource_of_prometheus_operator_holds_the_same_rules() -> None:
    made = load(FOLDER / "prometheusrule.yaml")
    assert made["kind"] == "PrometheusRule"
    assert made["spec"]["groups"] == [group for path in RULES for group in load(path)["groups"]]


def test_a_stale_generated_file_is_found_out(tmp_path: Path) -> None:
    assert (FOLDER / "prometheusrule.yaml").read_text("utf-8") == generate.prometheus_rule(FOLDER / "rules")
    for path in RULES:
        (tmp_path / path.name).write_text(path.read_text("utf-8").replace("5m]", "4m]"), "utf-8")
    assert generate.prometheus_rule(tmp_path) != generate.prometheus_rule(FOLDER / "rules")
    command = [sys.executable, "-m", "k8s.monitoring.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_30_s_that_sums_of_calls_count_with_are_those_between_two_evaluations() -> None:
    for group in load(RULES[0])["groups"]:
        sums = [rule["expr"] for rule in group["rules"] if "sum_over_time" in rule["expr"]]
        assert not sums or group["interval"] == "30s"
        assert all(re.search(r"\* 30\b", expr) for expr in sums)
