"""The rules of k8s/monitoring, their promtool tests, and what promtool says of both."""

import functools
import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.promql import metric, selectors

FOLDER = Path(__file__).resolve().parents[2] / "k8s" / "monitoring"
RULES = [FOLDER / "rules" / "recording.yaml", FOLDER / "rules" / "alerts.yaml"]
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


@dataclass(frozen=True)
class Matcher:
    """One condition on a label of a metric. values: those it names; of an expression the alternatives."""

    metric: str
    label: str
    values: tuple[str, ...]


@functools.cache
def load(path: Path) -> Any:
    """What a file of YAML holds; not to be changed."""
    return yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Of all files, by name; kind: "alert" or "record"."""
    found = [rule for path in RULES for group in load(path)["groups"] for rule in group["rules"]]
    return {rule[kind]: rule for rule in found if kind in rule}


def matchers(expr: str) -> list[Matcher]:
    """All that a query asks of labels."""
    return [
        Matcher(metric(selector), label, tuple(value.split("|")))
        for selector in selectors(expr)
        for label, _, value in _MATCHER.findall(selector)
    ]


def grouped_by(expr: str) -> set[str]:
    """Labels that a query groups by or matches on."""
    return {label.strip() for listed in _GROUPING.findall(expr) for label in listed.split(",")} - {""}


def needed(expr: str) -> set[str]:
    """Names of the recorded series that a query reads, and of those that they are made of."""
    records, found, left = rules("record"), set[str](), [expr]
    while left:
        names = {metric(selector) for selector in selectors(left.pop())} & records.keys() - found
        found |= names
        left += [records[name]["expr"] for name in names]
    return found


def promtool(*arguments: object) -> tuple[bool, str]:
    """Whether it is content, and all that it says."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=240)
    return done.returncode == 0, done.stdout + done.stderr


def reduced(alert: dict[str, Any], into: Path) -> list[Path]:
    """The promtool tests in which one alert fires, and the rules that it needs, as files below `into`."""
    into.mkdir()
    wanted = needed(alert["expr"])
    groups = [
        group | {"rules": [rule for rule in group["rules"] if rule.get("record") in wanted]}
        for group in load(RULES[0])["groups"]
    ]
    groups = [group for group in groups if group["rules"]]
    _write(into / RULES[0].name, {"groups": groups})
    _write(into / RULES[1].name, {"groups": [{"name": "alert", "rules": [alert]}]})
    written = []
    for path in TESTS:
        file = dict(load(path))
        file["rule_files"] = [Path(name).name for name in file["rule_files"]]
        file["group_eval_order"] = [*(group["name"] for group in groups), "alert"]
        file["tests"] = list(_firing(alert["alert"], file["tests"]))
        if file["tests"]:
            written.append(into / f"test-{path.name}")
            _write(written[-1], file)
    return written


def _firing(alert: str, cases: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for case in cases:
        asked = [one for one in case.get("alert_rule_test", []) if one["alertname"] == alert]
        if any(one["exp_alerts"] for one in asked):
            yield {key: value for key, value in case.items() if key != "promql_expr_test"} | {"alert_rule_test": asked}


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), "utf-8")  # JSON is YAML
