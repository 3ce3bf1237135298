"""A soak for a moment; what its verdicts hold against its figures; its page."""

import copy
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from loadtest import machine
from loadtest.measure import MeasurementError
from loadtest.rates import mix, slope, soak_page, verdicts
from loadtest.rates.memory import Sampler
from loadtest.rates.recorded import Recording
from loadtest.soak import main

MINUTES = 10


def soak(*arguments):
    command = [sys.executable, "-m", "loadtest.soak", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
@pytest.mark.integration
def test_a_moment_gives_figures_a_page_and_verdicts(tmp_path):
    results, page = tmp_path / "figures.json", tmp_path / "docs" / "page.md"
    places = ("--quick", "--p99-ms", 1000, "--most", 100, "--results", results, "--out", page)
    done = soak(*places)
    assert done.returncode == 0, done.stderr
    made = json.loads(results.read_text())
    assert made["statuses"] == {"0": made["calls"]}
    assert made["calls"] == sum(window["calls"] for window in made["windows"])
    expected = 0.7 * made["conditions"]["capacity"] * 7
    assert abs(made["calls"] - expected) < 5 * expected**0.5
    assert made["conditions"]["cache"] == "auto"
    assert len(made["memory"]) > 50
    assert min(kib for _, kib in made["memory"]) > 10_000
    assert [line.split()[0] in ("PASS", "FAIL") for line in done.stdout.splitlines()[2:]] == [True] * 4
    assert done.stdout.splitlines()[2].startswith("PASS  no error")
    assert "| no error |" in page.read_text()
    assert (page.parent / "images" / "soak-performance.png").stat().st_size > 1000

    page.unlink()
    assert soak("--report", *places).returncode == 0
    assert "| no error |" in page.read_text()


@pytest.mark.integration
def test_a_verdict_that_fails_makes_the_command_fail(tmp_path):
    made = figures()
    made["p99_last_us"] = 1.3 * made["p99_first_us"]
    made["verdicts"] = verdicts.of(made)
    results = tmp_path / "figures.json"
    results.write_text(json.dumps(made))
    done = soak("--report", "--results", results, "--out", tmp_path / "page.md")
    assert done.returncode == 1
    assert "FAIL  p99 within 1.2 times: 6.50 ms in the last minute, 5.00 in the first: 1.30 times" in done.stdout
    assert "| **FAIL** | p99 within 1.2 times |" in (tmp_path / "page.md").read_text()
    results.write_text(json.dumps(figures()))
    assert soak("--report", "--results", results, "--out", tmp_path / "page.md").returncode == 0


@pytest.mark.integration
def test_memory_of_a_process_is_sampled_until_it_ends():
    grow = "import time\nheld = []\nfor _ in range(8):\n    held.append(b'x' * (8 << 20)); time.sleep(0.1)\n"
    process = subprocess.Popen([sys.executable, "-c", grow])
    with Sampler(process.pid, every=0.02) as sampler:
        process.wait()
        count = len(sampler.samples)
        time.sleep(0.2)
    assert len(sampler.samples) <= count + 1, "there is nothing to sample after the end"
    times, sizes = np.array(sampler.samples).T
    assert np.all(np.diff(times) > 0)
    assert sizes.max() - sizes.min() > 40 * 1024


def figures(growth=0.0):
    random = np.random.default_rng(1)
    seconds = np.arange(60.0 * (MINUTES + 1))
    kib = 300_000 + random.normal(0, 50, len(seconds)) + growth / 60 * seconds
    windows = [
        {"start": 10.0 * number, "calls": 3000, "failed": 0, "p50_us": 2000.0, "p99_us": 5000.0}
        for number in range(6 * (MINUTES + 1))
    ]
    entries = 'epm_cache_entries model="attrition_model",version="1"'
    made = {
        "when": "2026-01-02",
        "command": "python -m loadtest.soak",
        "machine": machine.describe(),
        "conditions": {
            "share": 0.7,
            "rate": 300.0,
            "capacity": 428.0,
            "p99_ms": 10.0,
            "models": ["one", "two"],
            "rows": [1, 64],
            "distinct_bodies": 2016,
            "new_share": 0.37,
            "body_bytes": 12_000,
            "cache": "auto",
            "filled": 3200,
            "pinned_server": True,
            "warmup": 60.0,
            "soak": 60.0 * MINUTES,
            "minute": 60.0,
            "window": 10.0,
            "block": 20.0,
            "sample": 1.0,
            "step": 3.0,
        },
        "calls": 198_000,
        "statuses": {"0": 198_000},
        "errors": {},
        "answered_per_second": 300.0,
        "server_cpu_share": 0.66,
        "client_grew_kib": 12.0,
        "kept_before": {entries: 10.0},
        "kept_after": {entries: 90_000.0, 'epm_cache_evictions_total model="performance_model",version="1"': 5.0},
        "memory": [list(pair) for pair in zip(seconds.tolist(), kib.tolist(), strict=True)],
        "windows": windows,
        "memory_kib": float(kib[60:].mean()),
        "slope": slope.fit(seconds[60:], kib[60:]).as_dict(),
        "p99_first_us": 5000.0,
        "p99_last_us": 5100.0,
    }
    return made | {"verdicts": verdicts.of(made)}


def held(made):
    return [verdict["holds"] for verdict in verdicts.of(made)]


@pytest.mark.unit
def test_a_good_soak_passes():
    assert held(figures()) == [True] * 4
    assert all(line.startswith("PASS") for line in verdicts.lines(figures()["verdicts"]))


@pytest.mark.unit
@pytest.mark.parametrize(("statuses", "errors"), [({"0": 197_999, "8": 1}, {}), ({"0": 197_999}, {"unanswered": 1})])
def test_one_call_that_failed_fails_the_soak(statuses, errors):
    made = figures() | {"statuses": statuses, "errors": errors}
    assert held(made) == [False, True, True, True]
    assert "1 of 198,000 calls failed" in verdicts.of(made)[0]["text"]


@pytest.mark.unit
def test_memory_that_grows_fails_the_soak():
    assert held(figures(growth=100.0)) == [True, False, True, True]


@pytest.mark.unit
def test_an_interval_that_includes_everything_shows_nothing():
    made = figures()
    made["slope"] |= {"low": -50_000.0, "high": 50_000.0}
    assert held(made) == [True, True, False, True]


@pytest.mark.unit
@pytest.mark.parametrize(("share", "holds"), [(0.0199, True), (0.0201, False), (-0.5, True)])
def test_a_fiftieth_of_memory_may_have_been_added_at_most(share, holds):
    made = figures()
    made["slope"] |= {"low": -50_000.0, "high": share * made["memory_kib"] / MINUTES}
    assert held(made) == [True, share >= 0, holds, True]
    assert f"grew by at most {max(share, 0) * made['memory_kib']:,.0f} KiB" in verdicts.of(made)[2]["text"]


@pytest.mark.unit
def test_no_two_steps_of_the_search_and_no_step_and_the_soak_send_the_same_new_row():
    bodies = [b"\1" * 20] * 3
    mixed = mix.Mix(Recording("three", 1, ["/a.B/C"] * 3, bodies), [2, -1, 8])
    turns = mix.Turns(mixed, 0, 40)
    steps = [turns.fresh(30.0) for _ in range(2)]
    sent = [{(number % 3, step(number, bodies[0])) for number in range(36)} for step in (*steps, mixed.vary(40))]
    new = [{(body, message) for body, message in one if message != bodies[0]} for one in sent]
    assert [len(one) for one in new] == [12, 12, 12]
    assert len(set.union(*new)) == 36
    with pytest.raises(MeasurementError, match="30 calls more need turns 28 to 42, there are 40"):
        turns.fresh(30.0)


@pytest.mark.unit
def test_a_soak_without_a_first_and_a_last_minute_is_refused(capsys):
    with pytest.raises(SystemExit) as refused:
        main(["--minutes", "2.9"])
    assert refused.value.code == 2
    assert "--minutes: got 2.9, expected 3 or more" in capsys.readouterr().err


@pytest.mark.unit
@pytest.mark.parametrize(("ratio", "holds"), [(1.19, True), (1.21, False), (float("nan"), False)])
def test_p99_may_be_a_fifth_worse_at_the_end(ratio, holds):
    made = figures()
    made["p99_last_us"] = ratio * made["p99_first_us"]
    assert held(made) == [True, True, True, holds]


@pytest.mark.unit
def test_the_page_says_what_the_figures_say(tmp_path):
    soak_page.write(figures(), tmp_path / "page.md")
    text = " ".join((tmp_path / "page.md").read_text().split())
    assert "10 minutes of mixed load at 300 calls/s, 70% of the capacity of this very mix (428 calls/s" in text
    assert "198,000 calls: 198,000 with grpc-status 0, 0 without one" in text
    assert "Of performance_model" not in text, "evictions are no entries"
    assert "Of attrition_model: 10 when the soak began and 90,000 when it ended" in text
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert max(len(line) for line in lines if not line.startswith("|")) <= 120


@pytest.mark.unit
def test_the_same_figures_give_the_same_bytes_and_others_another_picture(tmp_path):
    other = copy.deepcopy(figures())
    other["windows"][3]["p99_us"] = 9999.0
    for name, made in (("a", figures()), ("b", figures()), ("c", other)):
        (tmp_path / name).mkdir()
        soak_page.write(made, tmp_path / name / "page.md")
    pictures = [(tmp_path / name / soak_page.PICTURE).read_bytes() for name in "abc"]
    assert (tmp_path / "a" / "page.md").read_bytes() == (tmp_path / "b" / "page.md").read_bytes()
    assert pictures[0] == pictures[1] != pictures[2]
