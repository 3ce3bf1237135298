"""A real Prometheus watches a real gateway under load while Redis, and then Triton, go away and come back.

Everything that dashboards and rules ask for has to be there; the one story gives all of it, so it is told once.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from k8s.monitoring.dashboards import FOLDER
from tests.monitoring import asked
from tests.monitoring.asked import Asked, Run
from tests.monitoring.known import LEAVING
from tests.monitoring.observed import Observed, observed
from tests.monitoring.promql import metric, renamed
from tests.monitoring.traffic import Answer
from tests.support.metrics import sample

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

REDIS = ("EpmStoreAway", "EpmCacheAway")
FIRING = 300.0
"""Seconds to wait for an alert at most: where scrapes fail for want of time, it has to begin again."""
BY_REDIS = {"not stored", "facts"}
"""Calls that cannot be answered without Redis."""
DASHBOARDS = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.json"))}
VALUES = {"__rate_interval": "10s", "model": LEAVING, "version": ".*"}
"""What a reader has chosen: the model that is computed at Triton, of which one version is refused."""


@dataclass(frozen=True)
class Told:
    """What the story left behind. gone, back: when Redis was killed and started again, in seconds since 1970; away: all
    answers to calls that were sent between the two.
    """

    run: Run
    gone: float
    back: float
    away: list[Answer]
    answers: list[Answer]
    wrong: list[Answer]
    log: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with observed(tmp_path_factory.mktemp("observed")) as place:
        place.flow()
        place.crowd(2)
        without_redis = _redis_goes_and_comes(place)
        _triton_goes_and_comes(place)
        names = [rule["name"] for rule in place.prometheus.rules() if rule["type"] == "recording"]
        place.wait("every record", lambda: all(place.prometheus.query(name) for name in names))
        place.flow()
        run = Run(place.prometheus, place.began, time.time())
        traffic = place.traffic
        yield Told(run, *without_redis, list(traffic.answers), traffic.wrong(), "".join(place.at.log))


def _redis_goes_and_comes(place: Observed) -> tuple[float, float, list[Answer]]:
    """Until its alerts fire, and until they do not any more. When it went and came, answers meanwhile."""
    place.redis.kill()
    gone, since = time.time(), time.monotonic()
    for name in REDIS:
        place.wait(f"{name} fires", lambda name=name: "firing" in place.prometheus.alerts(name), FIRING)
    place.flow()
    back, away = time.time(), place.traffic.since(since)
    place.redis.start()
    for name in REDIS:
        place.wait(f"{name} resolves", lambda name=name: "firing" not in place.prometheus.alerts(name))
    place.wait("Redis is used", lambda: sample(place.at, "epm_store_up") == sample(place.at, "epm_cache_redis_up") == 1)
    return gone, back, away


def _triton_goes_and_comes(place: Observed) -> None:
    """Its breakers open and close."""
    place.triton.kill()
    place.wait("breakers open", lambda: sample(place.at, "epm_backend_addresses", state="closed") == 0)
    place.flow()
    place.triton.start()
    place.wait("Triton is asked", place.is_asked)


@pytest.mark.parametrize("name", REDIS)
def test_the_alert_about_redis_is_pending_then_fires_then_resolves(told: Told, name: str) -> None:
    found = told.run.prometheus.over(f'ALERTS{{alertname="{name}"}}', told.gone, told.run.end, 1)
    times = {one.labels["alertstate"]: [when for when, _ in one.points] for one in found}
    assert min(times["pending"]) < min(times["firing"]) < told.back
    assert max(times["firing"]) < told.run.end - 1


def test_without_redis_every_prediction_was_answered_and_right(told: Told) -> None:
    predictions = [answer for answer in told.away if answer.by not in BY_REDIS | {"mistakes"}]
    assert len({answer.by for answer in predictions}) > 10
    assert [answer for answer in predictions if not (answer.status == "OK" and answer.right)] == []
    assert {answer.status for answer in told.away if answer.by in BY_REDIS} == {"UNAVAILABLE"}


def test_nothing_else_than_what_had_to_come_came_back(told: Told) -> None:
    assert len(told.answers) > 1000
    assert told.wrong == []
    assert [word for word in ("Traceback", "defect", "never awaited") if word in told.log] == [], told.log[-3000:]


def test_nothing_fires_that_did_not_happen(told: Told) -> None:
    fired = told.run.prometheus.over('ALERTS{alertstate="firing"}', told.run.start, told.run.end, 1)
    names = {one.labels["alertname"] for one in fired}
    assert names >= {*REDIS}
    assert names & {"EpmDefect", "EpmStoreEmptied", "EpmNoGateway", "EpmGatewayRestarts", "EpmNoTraffic"} == set()


def test_every_query_of_every_panel_returns_series(told: Told) -> None:
    queries = asked.panels(DASHBOARDS, VALUES)
    assert len(queries) > 50
    silent = told.run.silent([*queries, *asked.choices(DASHBOARDS, VALUES)])
    assert not silent, "\n".join(silent)


def test_every_expression_of_every_rule_returns_series(told: Told) -> None:
    expressions = asked.rules(told.run.prometheus)
    assert len(expressions) > 50
    silent = told.run.silent(expressions)
    assert not silent, "\n".join(silent)
    assert [rule for rule in told.run.prometheus.rules() if rule["health"] != "ok"] == []


def test_a_metric_that_is_renamed_is_missed_wherever_it_is_asked_for(told: Told) -> None:
    everywhere = [*asked.panels(DASHBOARDS, VALUES), *asked.rules(told.run.prometheus)]
    for name in sorted({metric(selector) for one in everywhere for selector in one.reads}):
        users = [one for one in everywhere if name in map(metric, one.reads)]
        missed = told.run.silent(Asked.of(one.where, renamed(one.expr, name)) for one in users)
        assert {one.where for one in users} == {text.split(": ", 1)[0] for text in missed}, name
