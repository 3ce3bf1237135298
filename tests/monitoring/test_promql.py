"""What a query reads, and what it is made to ask instead."""

import pytest

from tests.monitoring.promql import compared, metric, renamed, selectors

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("expr", "read"),
    [
        ("up", ["up"]),
        ("sum by (model, from) (rate(a_total[5m]))", ["a_total"]),
        ('sum(rate(a{state=~"x|y}", b!="("}[5m])) / on () group_left () sum(a)', ['a{state=~"x|y}", b!="("}', "a"]),
        ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[30m:30s])))", ["a_bucket"]),
        ("job:a:ratio1h > 14.4 * 0.0005 and job:a:ratio5m > 1e3", ["job:a:ratio1h", "job:a:ratio5m"]),
        ("a offset 1w > bool 2^30 unless on (job) b", ["a", "b"]),
        ("absent(a) or topk(8, b)", ["a", "b"]),
    ],
)
def test_what_a_query_reads(expr: str, read: list[str]) -> None:
    assert selectors(expr) == read


def test_the_metric_of_a_selector() -> None:
    assert metric('job:a:rate5m{status="OK"}') == "job:a:rate5m"


def test_a_renamed_metric_is_renamed_and_no_other_that_begins_or_ends_like_it() -> None:
    expr = "a / a_total + job:a:rate5m + b_a + a[5m]"
    assert renamed(expr, "a") == "a_renamed / a_total + job:a:rate5m + b_a + a_renamed[5m]"


@pytest.mark.parametrize(
    ("expr", "instead"),
    [
        ("a > 3", "a > bool 3"),
        ('a{b!="<"} == 0 and c <= 2', 'a{b!="<"} == bool 0 and c <= bool 2'),
        ("a offset 1w > 5 unless b", "a  > bool 5 or b"),
    ],
)
def test_what_an_alert_compares(expr: str, instead: str) -> None:
    assert compared(expr) == instead
