"""What rules ask for is what a gateway exposes: every metric, every label, every value of a label that is fixed."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.samples import Sample

from serving.errors import Status
from tests.monitoring.exposed import exposed
from tests.monitoring.promql import metric, selectors
from tests.monitoring.rule_files import grouped_by, matchers, rules

pytestmark = pytest.mark.integration

BY_SCRAPE = {"job", "instance", "namespace"}
"""Labels that come from the scrape, not from the gateway."""
BY_RULE = {"le", "quantile"}
ELSEWHERE = {"UNKNOWN", "DATA_LOSS"}
"""Server errors that this program answers with nowhere; they count as such, should one ever come."""

ALERTS, RECORDS = rules("alert"), rules("record")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """What a gateway exposes."""
    return exposed(tmp_path_factory.mktemp("exposed"))


def test_metrics_and_labels_that_rules_ask_for_are_exposed_by_a_gateway(samples: list[Sample]) -> None:
    wrong = [told for name, rule in (ALERTS | RECORDS).items() for told in unexposed(name, rule["expr"], samples)]
    assert not wrong


def test_a_metric_or_label_that_is_renamed_is_found_out(samples: list[Sample]) -> None:
    for alert, known, renamed in (
        ("EpmStoreAway", "epm_store_up", "epm_store_there"),
        ("EpmBackendDown", 'state="closed"', 'state="shut"'),
        ("EpmBackendDown", "state=", "condition="),
        ("EpmBackendDown", "version, backend", "version, server"),
        ("EpmDefect", "INTERNAL", "INTERNAL_ERROR"),
    ):
        expr = ALERTS[alert]["expr"]
        assert known in expr
        assert list(unexposed(alert, expr.replace(known, renamed), samples))


def unexposed(rule: str, expr: str, samples: list[Sample]) -> Iterator[str]:
    """What a query asks for that is neither exposed nor recorded, each in a sentence."""
    labels: dict[str, dict[str, set[str]]] = {name: {} for name in ("up", *RECORDS)}
    for name, recorded in RECORDS.items():
        labels[name] = {label: set() for label in known_labels(recorded, samples)}
    for sample in samples:
        for label, value in sample.labels.items():
            labels.setdefault(sample.name, {}).setdefault(label, set()).add(value)
        labels.setdefault(sample.name, {})
    names = {metric(one) for one in selectors(expr)}
    for name in sorted(names - labels.keys()):
        yield f"{rule}: nobody exposes or records {name}"
    for asked in matchers(expr):
        if asked.label in BY_SCRAPE or asked.metric not in labels:
            continue
        if asked.label not in labels[asked.metric]:
            yield f"{rule}: {asked.metric} has no label {asked.label}"
        elif asked.label == "status":
            for value in set(asked.values) - Status.__members__.keys() - ELSEWHERE:
                yield f"{rule}: no call ends in {value}"
        elif asked.metric not in RECORDS:
            for value in set(asked.values) - labels[asked.metric][asked.label]:
                yield f"{rule}: {asked.metric} never has {asked.label}={value!r}"
    known = BY_SCRAPE | BY_RULE | {label for name in names & labels.keys() for label in labels[name]}
    for label in sorted(grouped_by(expr) - known):
        yield f"{rule}: nothing in it has the label {label}"


def known_labels(recorded: dict[str, Any], samples: list[Sample]) -> set[str]:
    """Labels that a recorded series may have: what it is grouped by, or what its sources have."""
    sources = {metric(one) for one in selectors(recorded["expr"])}
    found = grouped_by(recorded["expr"]) | set(recorded.get("labels", {}))
    for name in sources & RECORDS.keys():
        found |= known_labels(RECORDS[name], samples)
    return found


def test_server_errors_are_those_of_the_program_that_are_not_the_callers_fault() -> None:
    failed = {one.label: one.values for one in matchers(RECORDS["job:epm_calls_failed:rate5m"]["expr"])}["status"]
    theirs = {"INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "FAILED_PRECONDITION", "UNAUTHENTICATED"}
    assert set(failed) == Status.__members__.keys() - theirs | ELSEWHERE


def test_statuses_are_exposed_under_these_names(samples: list[Sample]) -> None:
    seen = {one.labels["status"] for one in samples if one.name == "epm_requests_total"}
    assert seen >= {"OK", "INVALID_ARGUMENT", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED"}
