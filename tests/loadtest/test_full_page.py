"""The page of the full benchmark says what the figures say."""

import copy

import pytest

from loadtest import machine
from loadtest.bench import full_page
from loadtest.text import WIDTH

pytestmark = pytest.mark.unit

RUN = {"p50_us": 5000.0, "p99_us": 9000.0, "cpu_us_per_row": 200.0, "rate": 0.0, "wire": "", "rows": 1, "round": 0}
START = {"round": 0, "start_seconds": 3.04, "idle_mib": 120.0, "loaded_mib": 140.0, "processes": 2, "pinned": True}


def run(part, server, calls, **more):
    record = {
        "part": part,
        "server": server,
        "title": {"gateway": "this gateway"}.get(server, server.title()),
        "case": 0,
    }
    return record | RUN | {"calls_per_second": calls, "rows_per_second": calls * more.get("rows", 1)} | more


def start(part, server, **more):
    return {key: value for key, value in run(part, server, 0.0).items() if key not in RUN} | START | more


def made():
    """One server beside the gateway in each part, and one that is not installed."""
    records = []
    for part, cases in (("http", (0,)), ("large", (0,)), ("models", (1, 50)), ("workers", (1, 2))):
        for server, calls in (("gateway", 1000.0), ("triton", 500.0)):
            for case in cases:
                size = {"rows": 1024} if part == "large" else {}
                records.append(run(part, server, calls * (1 + (case == 2)), case=case, **size))
                records.append(start(part, server, case=case))
        missing = {"part": part, "server": "ray", "title": "Ray Serve", "case": cases[-1]}
        records.append(missing | {"left_out": "not installed: run `make bench-full`"})
    records += [run("http", server, 50.0, rate=50.0) for server in ("gateway", "triton")]
    for record in records:
        record.pop("calls_per_second", None) if "start_seconds" in record else None
    full = {"seconds": 2.0, "rounds": 3, "runs": 3, "streams": 8, "rate": 50.0, "large_bodies": 100}
    notes = {"ray": ["Ray Serve", "one replica."]}
    stamp = {"when": "2026-01-02", "command": "python -m loadtest.bench.full", "machine": machine.describe()}
    return stamp | full | {"notes": notes, "how": {"gateway": "processes side by side"}, "records": records}


def page(figures):
    return "\n\n".join(full_page.sections(figures))


def test_every_table_has_a_row_for_each_server_and_one_for_who_is_not_installed():
    text = page(made())
    assert "| this gateway | 1 | 1,000 | 5.00 | 9.00 | 200.0 |" in text
    assert "| Triton | 50 | 3.0 | 120 | 140 | 2 | 500 |" in text
    assert text.count("not installed: run `make bench-full`") == 5
    assert "| Ray Serve | 50 models: not installed" in text
    assert "| Ray Serve | 2 workers: not installed" in text


def test_all_rows_of_a_table_have_as_many_cells_as_its_head():
    for block in full_page.sections(made()):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_two_workers_are_compared_with_one():
    assert "| this gateway | 1 | 2 | 2,000 | 5.00 | 9.00 | 200.0 | 2.00 |" in page(made())


def test_rounds_become_a_median_with_its_spread():
    figures = made()
    first = next(one for one in figures["records"] if one["part"] == "http")
    figures["records"] += [copy.deepcopy(first) | {"calls_per_second": calls} for calls in (800.0, 1300.0)]
    assert "| this gateway | 1 | 1,000 (800..1,300) |" in page(figures)


def test_who_is_ahead_of_the_gateway_is_named():
    figures = made()
    assert page(figures).count("none of them is ahead") == 4
    for record in figures["records"]:
        if record["server"] == "triton" and record["part"] == "models" and "calls_per_second" in record:
            record["calls_per_second"] = 1500.0
    text = " ".join(page(figures).split())
    assert "- Triton at 1 model, 1 row a call: 1.50 times as many calls/s." in text
    assert "- Triton at 50 models, 1 row a call: 1.50 times" in text
    assert text.count("none of them is ahead") == 3


def test_every_line_of_prose_is_short():
    lines = [line for line in page(made()).splitlines() if not line.startswith("|")]
    assert max(map(len, lines)) <= WIDTH
