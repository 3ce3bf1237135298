"""The pages of the compiled listener's studies say what their figures say."""

import json

import pytest

from loadtest.listener import fuzz_page, page, soak_page
from loadtest.listener.__main__ import ASKED_OF, MODELS
from loadtest.listener.verdicts import verdicts

pytestmark = pytest.mark.unit
MACHINE = {
    "cpu": "a processor",
    "cores": 2,
    "memory_gib": 8.0,
    "kernel": "6.1",
    "python": "3.11",
    "versions": {"numba": "0.68"},
    "commit": "abc",
    "load_average_before": 0.1,
}
RATES = {"h2": 60_000.0, "grpc_aio": 4_000.0, "triton": 3_000.0}


def run(side, model, asked, rate, number):
    many = 64 if "64" in asked else 1
    return {
        "round": number,
        "side": side,
        "model": model,
        "asked": asked,
        "calls_per_second": rate,
        "rows_per_second": rate * many,
        "cpu_us_per_call": 1e6 / rate,
        "cpu_us_per_row": 1e6 / rate / many,
        "cpu_share": 0.9,
        "client_cpu_share": 0.5,
        "p50_us": 100.0,
        "p99_us": 400.0,
        "p999_us": 700.0,
        "late_us": 10.0,
        "undisturbed_p99_us": 390.0,
        "stood_share": 0.001,
        "pinned": True,
    }


def figures(ours=RATES["h2"]):
    runs = []
    for number in range(3):
        for side, whats in ASKED_OF.items():
            rate = ours if side == "h2" else RATES[side]
            runs += [run(side, model, what, rate, number) for model in MODELS for what in whats]
        runs += [run("triton", "", "empty", 40_000.0, number), run("h2", "", "empty", 200_000.0, number)]
        for model in MODELS:
            runs.append(run("h2", model, "kserve_v2 at a rate", 20_000.0, number))
            runs.append(run("h2", model, "kserve_v2 at a tenth", 2_000.0, number))
            runs.append(
                {"round": number, "side": "h2", "model": model, "asked": "one body", "generator": 70e3, "h2load": 69e3}
            )
            bare = {"round": number, "side": "bare", "model": model, "asked": "kernels"}
            runs.append(bare | {"cpu_us_per_row": 0.85e6 / ours / 64})
    threads = [
        run("h2", MODELS[0], "kserve_v2", ours, 0) | {"threads": n, "processors": where, "memory_mib": 200.0 + 5 * n}
        for n in (1, 2, 4)
        for where in ("one", "all")
    ]
    lstm = [run(side, "", "", rate, 0) for side, rate in (("h2", 3000.0), ("grpc_aio", 900.0))]
    starts = [
        {"side": "h2", "kernels": "kept", "seconds": 2.1, "idle_mib": 190.0},
        {"side": "h2", "kernels": "none", "seconds": 80.0},
        {"side": "grpc_aio", "kernels": "kept", "seconds": 1.9, "idle_mib": 170.0},
    ]
    conditions = {
        "models": dict.fromkeys(MODELS, "a model"),
        "rounds": 3,
        "seconds": 2.0,
        "connections": 8,
        "streams": 4,
        "rate": 20_000.0,
        "distinct_bodies": 1000,
        "pinned": True,
        "triton_left_out": "",
    }
    made = {"when": "2026-11-23", "command": "python -m loadtest.listener", "machine": MACHINE}
    made |= {"conditions": conditions, "runs": runs, "threads": threads, "lstm": lstm, "starts": starts}
    return json.loads(json.dumps(made))


def test_a_listener_that_is_fast_enough_has_only_verdicts_that_hold():
    found = verdicts(figures())
    assert [verdict.says for verdict in found if not verdict.holds] == []
    assert len(found) == 2 * 10 + 3 + 1 + 1


def test_a_slow_listener_fails_where_it_is_compared_with_others():
    failed = [verdict.says for verdict in verdicts(figures(ours=12_000.0)) if not verdict.holds]
    assert len(failed) == 6
    assert all(" beside " in says for says in failed)


def test_without_triton_the_rest_is_judged():
    made = figures()
    made["runs"] = [one for one in made["runs"] if one["side"] != "triton"]
    assert len(verdicts(made)) == 25 - 4


def test_the_page_has_every_part(tmp_path):
    page.write(figures(), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "| ModelInfer beside Triton's empty ServerLive | benchmark_model | at least 1.3 | 1.50 |" in text
    assert "70,000 (70,000..70,000) calls/s" in " ".join(text.split())
    assert "| compiled listener | none | 80.0 |" in text
    assert (tmp_path / page.PICTURE).stat().st_size > 1000
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith(("|", " ", "!")))


def test_the_line_for_the_readme_names_all_that_is_compared():
    line = page.line(figures())
    assert "compiled listener 60,000 (17), grpc.aio 4,000 (250), Triton 3,000 (333)" in line
    assert "empty ServerLive 40,000 (25)" in line


def test_the_fuzz_page_shows_what_differs(tmp_path):
    made = {
        "when": "2026-11-23",
        "command": "python -m loadtest.listener.fuzz",
        "machine": MACHINE,
        "listener": "h2",
        "cache": "off",
        "seed": 1,
        "requests": 1000,
        "sample": 10,
        "seconds": 5.0,
        "statuses": {"0": 900, "3": 100},
        "asked": {"/a/B": 1000},
        "answered_by": {"compiled": 700.0, "python": 300.0},
        "differing": 1,
        "another_named": 2,
        "differences": [{"method": "/a/B", "body": "0a00"}],
        "grown_kib": None,
    }
    fuzz_page.write(made, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "1 were answered differently" in text
    assert "| INVALID_ARGUMENT | 100 |" in text
    assert "- `/a/B` `0a00`" in text
    assert "compiled 700, python 300" in text


def test_the_soak_page_shows_verdicts_and_counters(tmp_path):
    made = {
        "when": "2026-11-23",
        "command": "python -m loadtest.listener.soak",
        "machine": MACHINE,
        "conditions": {"rude": 16, "seconds": 600.0, "rate": 200.0, "listener": "h2", "warmup": 30.0},
        "well": {"calls": 1000, "answered": 999, "refused": 1},
        "said": {"8 no memory": 1},
        "acts": {"reset_streams": 7},
        "counters": {"connections": {"accepted": 9.0}, "floods": 3.0},
        "filled": {"message_bytes": 1 << 20, "answered": 50, "calls": 50},
        "samples": [(0.0, 2048.0, 20), (60.0, 4096.0, 21)],
        "memory_slope": {"per_minute": 1.0, "low": -1.0, "high": 3.0},
        "descriptors_slope": None,
        "verdicts": [{"says": "memory does not grow", "holds": False}],
    }
    soak_page.write(made, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "| memory does not grow | **no** |" in text
    assert "| connections | accepted | 9 |" in text
    assert "Memory, without the warm-up: +1.0 KiB a minute" in text
