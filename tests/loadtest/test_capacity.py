"""The capacity study for a moment, of our gateway and of another server; its page; a schedule by hand."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest import machine
from loadtest.rates import capacity_page, mix, recorded
from loadtest.rates.recorded import Recording

AT = {"asked": 500.0, "answered": 499.0, "calls": 5000, "p50_us": 800.0, "p99_us": 4000.0, "p999_us": 9000.0}
AT |= {"lag_p99_us": 5.0, "refused": 0, "left_open": 0, "server_cpu_us": 450.0, "why": ""}


def study(module, *arguments):
    command = [sys.executable, "-m", f"loadtest.{module}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.mark.integration
def test_a_moment_of_the_gateway_gives_figures_and_a_page(tmp_path):
    results, page, log = tmp_path / "figures.json", tmp_path / "docs" / "page.md", tmp_path / "log"
    places = ("--results", results, "--out", page)
    done = study("capacity", "--quick", "--p99-ms", 1000, "--most", 200, "--log-file", log, *places)
    assert done.returncode == 0, done.stderr
    figures = json.loads(results.read_text())
    assert [(found["name"], found["rows"]) for found in figures["capacities"]] == [("epm_v1", 1), ("kserve_v2", 64)]
    assert figures["conditions"]["counters"]
    for found in figures["capacities"]:
        assert 0 < found["capacity"] <= 200
        assert found["distinct_bodies"] == 1000
        assert found["confirmed"]["calls"] > 0
        assert found["confirmed"]["server_cpu_us"] > 0
        assert {trial["phase"] for trial in found["trials"]} >= {"rise", "confirm"}
        assert [at["share"] for at in found["curve"]] == sorted(at["share"] for at in found["curve"])
    steps = [at for found in figures["capacities"] for at in (*found["trials"], *found["curve"])]
    assert len(log.read_text().splitlines()) > sum(at["calls"] for at in steps)
    assert "## Latency against load" in page.read_text()
    assert (page.parent / "images" / "capacity-performance.png").stat().st_size > 1000

    page.unlink()
    assert study("capacity", "--report", *places).returncode == 0
    assert "## Latency against load" in page.read_text()


@pytest.mark.integration
def test_another_server_is_asked_with_recorded_bodies_and_its_counters_are_not_spoken_of(tmp_path, echo):
    bodies = [number.to_bytes(2) for number in range(1000)]
    recorded.write(Recording("numbers", 0, ["/a.B/C"] * 1000, bodies), tmp_path / "bodies")
    places = ("--results", tmp_path / "figures.json", "--out", tmp_path / "page.md")
    asked = ("--target", echo.address, "--bodies", tmp_path / "bodies", "--p99-ms", 1000, "--most", 200)
    done = study("capacity", "--quick", *asked, *places)
    assert done.returncode == 0, done.stderr
    assert "counters are not read" in done.stderr
    (found,) = json.loads((tmp_path / "figures.json").read_text())["capacities"]
    assert found["name"] == "numbers"
    assert found["confirmed"]["server_cpu_us"] is None
    assert "counters were not read" in " ".join((tmp_path / "page.md").read_text().split())


@pytest.mark.integration
def test_what_cannot_be_is_told_in_one_line(tmp_path):
    places = ("--results", tmp_path / "r", "--out", tmp_path / "p")
    for arguments, expected in (
        (("--http", "127.0.0.1:1"), "without --target"),
        (("--target", "192.0.2.1:80"), "this machine only"),
        (("--target", "127.0.0.1:1", "--http", "192.0.2.1:80"), "192.0.2.1:80: load is put on this machine only"),
        (("--bodies", tmp_path / "none"), "No such file"),
    ):
        done = study("capacity", "--quick", *arguments, *places)
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_recorded_bodies_are_put_on_by_hand_at_a_rising_rate(tmp_path, performance):
    recorded.write(mix.make(Path("model_repo"), 42, 1).recording, tmp_path / "bodies")
    asked = ("--target", performance.grpc, "--bodies", tmp_path / "bodies", "--schedule", "20-60:2,30:1")
    done = study("rates", *asked, "--http", performance.http, "--arrivals", "even", "--log-file", tmp_path / "log")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["second", "answered", "not", "OK"]
    assert [line.split()[:3] for line in lines[1:4]] == [["0", "30", "0"], ["1", "50", "0"], ["2", "30", "0"]]
    assert lines[4:] == ["grpc-status {0: 110}, without status {}", "the server's counters say the same"]
    assert len((tmp_path / "log").read_text().splitlines()) == 110
    refused = study("rates", *asked[:4], "--schedule", "fast")
    assert refused.returncode == 1
    assert "RATE:SECONDS" in refused.stderr


def figures():
    curve = [AT | {"share": share, "rate": 500 * share} for share in (0.1, 0.5, 1.0, 1.1)]
    curve[-1] = curve[-1] | {"why": "p99 31.0 ms, above 10", "p99_us": 31_000.0}
    found = {
        "name": "kserve_v2",
        "rows": 64,
        "distinct_bodies": 1000,
        "body_bytes": 11_000,
        "capacity": 500.0,
        "limited": False,
        "confirmed": AT,
        "trials": [AT | {"phase": "rise", "rate": 100.0}],
        "curve": curve,
    }
    return {
        "when": "2026-01-02",
        "command": "python -m loadtest.capacity",
        "machine": machine.describe(),
        "conditions": {
            "target": "the gateway",
            "p99_ms": 10.0,
            "arrivals": "poisson",
            "seconds": 2.5,
            "warmup": 0.5,
            "confirmation": 3,
            "precision": 0.03,
            "connections": 1,
            "streams": 512,
            "pinned_server": True,
            "counters": True,
        },
        "capacities": [found, found | {"name": "epm_v1", "rows": 1, "limited": True}],
    }


@pytest.mark.unit
def test_the_page_says_what_the_figures_say(tmp_path):
    capacity_page.write(figures(), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "| KServe v2 ModelInfer, 64 rows | 500 | 32,000 | 0.80 | 4.00 | 9.00 | 450 |" in text
    assert "| epm.v1 Predict, 1 row | at least 500 | 500 |" in text
    assert "KServe v2 ModelInfer, 64 rows at 110%: p99 31.0 ms, above 10" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120


@pytest.mark.unit
def test_the_same_figures_give_the_same_bytes_and_others_another_picture(tmp_path):
    other = copy.deepcopy(figures())
    other["capacities"][0]["curve"][0]["p99_us"] = 9999.0
    for name, made in (("a", figures()), ("b", figures()), ("c", other)):
        (tmp_path / name / "docs").mkdir(parents=True)
        capacity_page.write(made, tmp_path / name / "docs" / "page.md")
    pages = [(tmp_path / name / "docs" / "page.md").read_bytes() for name in "ab"]
    pictures = [(tmp_path / name / "docs" / capacity_page.PICTURE).read_bytes() for name in "abc"]
    assert pages[0] == pages[1]
    assert pictures[0] == pictures[1] != pictures[2]
