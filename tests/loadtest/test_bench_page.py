"""The page of the side-by-side benchmark says what the figures say, ahead or behind."""

import copy

import pytest

from loadtest import machine
from loadtest.bench import page as report
from loadtest.bench import verdict
from loadtest.bench.peers import PEERS

pytestmark = pytest.mark.unit

COSTS = {"gateway": 400.0, "triton": 150.0, "mlserver": 800.0, "kserve": 500.0, "echo": 250.0}
"""Processor microseconds a call of one row, of servers that do nothing but work on one processor."""


def run(server, wire, rows, kind, number, cost):
    """A run of a server that spends `cost` us on a call."""
    cost *= 1 + 0.01 * number
    return {
        "server": server,
        "wire": wire,
        "rows": rows,
        "kind": kind,
        "round": number,
        "calls": 1000,
        "calls_per_second": 1e6 / cost,
        "rows_per_second": rows * 1e6 / cost,
        "p50_us": cost * 2,
        "p99_us": cost * 4,
        "cpu_us_per_call": cost,
        "cpu_us_per_row": cost / rows,
        "cpu_share": 1.0,
        "client_cpu_share": 0.2,
        "counted_calls": 1000 if wire == "tensor" else None,
        "largest_difference": 2e-7,
    }


def figures(costs=COSTS, missing=(), single=3.0):
    """Three rounds. missing: names of peers that are not installed. single: how much more one call at a time costs."""
    runs, starts, peers = [], [], []
    for peer in PEERS:
        reason = "not installed: run `make bench-envs`" if peer.name in missing else None
        wires = [{"name": wire.name, "title": wire.title, "predicts": wire.predicts} for wire in peer.wires]
        known = {"name": peer.name, "title": peer.title, "note": peer.note, "setup": peer.setup, "wires": wires}
        peers.append(known | {"missing": reason, "tried": {}, "versions": {"onnxruntime": "1.0"}})
        if reason:
            continue
        for number in range(3):
            for wire in peer.wires:
                cost = costs[peer.name]
                for rows in (1,) if wire.rowless else (1, 64):
                    runs += [run(peer.name, wire.name, rows, kind, number, cost) for kind in ("closed", "rate")]
                runs.append(run(peer.name, wire.name, 1, "single", number, cost * single))
            memory = {"idle_mib": 100.0, "loaded_mib": 120.0, "processes": 2, "pinned": True}
            starts.append({"server": peer.name, "round": number, "seconds": 1.5 + number} | memory)
    conditions = {"model": "m (forest, 51 features)", "seconds": 4.0, "rounds": 3, "streams": 8, "pinned": True}
    return {
        "when": "2026-01-02",
        "command": "python -m loadtest.bench",
        "machine": machine.describe(),
        "conditions": conditions | {"rates": {"1": 500.0, "64": 250.0}, "distinct_bodies": 1000},
        "peers": peers,
        "runs": runs,
        "starts": starts,
        "cold_start_seconds": 31.4,
    }


def page(made, folder):
    report.write(made, folder / "docs" / "performance.md")
    return (folder / "docs" / "performance.md").read_text()


def words(text):
    return " ".join(text.split())


def test_the_tables_have_medians_and_spreads(tmp_path):
    text = page(figures(), tmp_path)
    assert "| this gateway | 1 | 2,475 (2,451..2,500) |" in text
    assert "| Triton, Python-based onnxruntime backend | 64 |" in text
    assert "| Triton, empty call | none |" in text
    assert "| MLServer | 2 | 100 (100..100) | 120 (120..120) | 2.5 (1.5..3.5) |" in text
    assert "31.4 s once" in words(text)
    assert "At 500 calls/s of 1 row a call and 250 calls/s of 64 rows a call" in words(text)


def test_where_the_gateway_is_behind_the_page_says_so_and_why(tmp_path):
    text = words(page(figures(), tmp_path))
    assert "ahead in 12, behind in 6" in text
    assert "| Triton, Python-based onnxruntime backend | 1 | behind, 0.38 (0.38..0.38) |" in text
    assert "| MLServer | 1 | ahead, 2.00 (2.00..2.00) |" in text
    assert "Behind Triton at 1 row a call in requests/s (0.38)" in text
    assert "costs more than the whole call there before anything is done" in text
    assert "what it puts together it does not do 8 times" in text
    assert "all calls take longer here" in text
    assert "Behind MLServer" not in text


def test_where_it_is_ahead_of_all_the_page_has_nothing_to_explain(tmp_path):
    text = words(page(figures(COSTS | {"gateway": 100.0}), tmp_path))
    assert "the gateway is ahead in 18." in text
    assert "Behind " not in text
    assert "| Triton, Python-based onnxruntime backend | 1 | ahead, 1.50 (1.50..1.50) |" in text


def test_a_transport_that_costs_less_than_the_other_servers_call_is_no_excuse(tmp_path):
    text = words(page(figures(COSTS | {"kserve": 300.0, "triton": 600.0}), tmp_path))
    assert "Behind KServe at 1 row a call" in text
    assert "the other 152 us are the gateway's own work" in text
    assert "before anything is done" not in text


def test_rounds_that_do_not_agree_are_level(tmp_path):
    made = figures()
    for one in made["runs"]:
        if one["server"] == "triton" and one["kind"] == "closed":
            one["calls_per_second"] = 2475.0
    found = verdict.verdicts(made)
    assert {one.word for one in found if one.peer.server == "triton" and one.measure.name == "requests/s"} == {"level"}
    text = words(page(made, tmp_path))
    assert "Level with Triton at 1 row a call in requests/s (" in text
    assert "and 2,475): rounds differ on who is ahead" in text


def test_a_run_too_short_for_the_clock_is_no_verdict(tmp_path):
    made = figures()
    for one in made["runs"]:
        if one["server"] == "kserve":
            one["cpu_us_per_call"] = 0.0
    assert "too short a run to tell" in page(made, tmp_path)


def test_a_server_that_is_not_there_is_a_row_that_says_so_in_every_table(tmp_path):
    text = page(figures(missing=("mlserver", "echo")), tmp_path)
    assert text.count("| MLServer |  | not installed: run `make bench-envs` |") == 3
    assert "| MLServer | not installed: run `make bench-envs` |  |  |  |" in text
    assert "Not measured: not installed" in words(text)
    assert "Behind Triton at 1 row a call" in words(text)


def test_the_gateway_alone_is_compared_with_nobody(tmp_path):
    text = words(page(figures(missing=("triton", "mlserver", "kserve", "echo")), tmp_path))
    assert "No other server was there to be compared with" in text


def test_a_generator_that_may_have_been_the_limit_is_owned_up_to(tmp_path):
    made = figures()
    assert "it was not the limit" in words(page(made, tmp_path))
    made["runs"][0]["client_cpu_share"] = 1.0
    assert "it may have been the limit itself" in words(page(made, tmp_path))


def test_the_same_figures_give_the_same_bytes_and_others_another_picture(tmp_path):
    made = figures()
    texts = [page(made, tmp_path / name) for name in ("a", "b")]
    assert texts[0] == texts[1]
    other = copy.deepcopy(made)
    other["runs"][0]["calls_per_second"] = 9000.0
    page(other, tmp_path / "c")
    a, b, c = ((tmp_path / name / "docs" / report.THROUGHPUT).read_bytes() for name in ("a", "b", "c"))
    assert a == b != c


def test_every_line_of_prose_is_short(tmp_path):
    lines = [line for line in page(figures(), tmp_path).splitlines() if not line.startswith("|")]
    assert max(map(len, lines)) <= 120
