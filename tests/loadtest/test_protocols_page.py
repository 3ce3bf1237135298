"""The page says what the figures say."""

import copy

import pytest

from loadtest import machine
from loadtest.protocols import page as report

pytestmark = pytest.mark.unit

RUN = {
    "rows_per_second": 64_000.0,
    "p50_us": 500.0,
    "p99_us": 900.0,
    "server_cpu_us_per_call": 200.0,
    "server_cpu_share": 1.0,
    "client_cpu_share": 0.2,
}


def figures():
    """Two rounds of one protocol and size: ratios 0.5 and 0.4."""
    rounds = [
        RUN | {"server": server, "protocol": "kserve_v2", "rows": 1, "round": number, "calls_per_second": rate}
        for number, rates in enumerate([{"gateway": 1000.0, "echo": 2000.0}, {"gateway": 1200.0, "echo": 3000.0}])
        for server, rate in rates.items()
    ]
    for run in rounds:
        run["handler_us_per_call"] = None if run["server"] == "echo" else 180.0
        run["server_cpu_us_per_call"] = 200.0 if run["server"] == "echo" else 450.0
    return {
        "when": "2026-01-02",
        "command": "python -m loadtest.protocols",
        "machine": machine.describe(),
        "conditions": {
            "model": "m (forest, 20 inputs)",
            "seconds": 5.0,
            "rounds": 2,
            "connections": 1,
            "streams": 8,
            "distinct_bodies": 1000,
            "body_bytes": {"kserve_v2/1": 500},
            "pinned": True,
            "caches": "off",
        },
        "ceiling": {"calls_per_second": 50_000.0, "client_cpu_us_per_call": 12.3},
        "rounds": rounds,
        "stages": {"kserve_v2": {"decode": 100.0, "model": 20.0}},
    }


def page(made, folder):
    report.write(made, folder / "docs" / "performance.md")
    return (folder / "docs" / "performance.md").read_text()


def test_the_table_has_medians_spreads_and_the_ratio_round_by_round(tmp_path):
    text = page(figures(), tmp_path)
    assert "| KServe v2 ModelInfer | 1 | gateway | 1,100 (1,000..1,200) |" in text
    assert "| 0.45 (0.40..0.50) |" in text


def test_stages_echo_and_what_both_leave_open_add_up(tmp_path):
    text = page(figures(), tmp_path)
    assert "| handler, not accounted for | 60.0 |" in text
    assert "| **handler, measured in the server** | 180.0 |" in text
    assert "| grpc (the echo) | 200.0 |" in text
    assert "| grpc beside a handler, not accounted for | 70.0 |" in text
    assert "| **gateway, processor time** | 450.0 |" in text


def test_a_generator_that_may_have_been_the_limit_is_owned_up_to(tmp_path):
    made = figures()
    assert "it was not the limit" in " ".join(page(made, tmp_path).split())
    made["rounds"][0]["client_cpu_share"] = 1.0
    assert "it may have been the limit itself" in " ".join(page(made, tmp_path).split())


def test_the_same_figures_give_the_same_bytes_and_others_another_picture(tmp_path):
    made = figures()
    texts = [page(made, tmp_path / name) for name in ("a", "b")]
    pictures = [(tmp_path / name / "docs" / report.PICTURE).read_bytes() for name in ("a", "b")]
    assert texts[0] == texts[1]
    assert pictures[0] == pictures[1]
    other = copy.deepcopy(made)
    other["rounds"][0]["calls_per_second"] = 1900.0
    page(other, tmp_path / "c")
    assert (tmp_path / "c" / "docs" / report.PICTURE).read_bytes() != pictures[0]


def test_every_line_of_prose_is_short(tmp_path):
    lines = [line for line in page(figures(), tmp_path).splitlines() if not line.startswith("|")]
    assert max(map(len, lines)) <= 120
