"""The page docs/listener-performance.md, from the figures of one run and nothing else; and a line for the README."""

import statistics
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from loadtest.bench import picture
from loadtest.listener.verdicts import Verdict, models, values, verdicts
from loadtest.text import spread, table, wrapped

PICTURE = Path("images/listener-performance.png")
SIDES = {"h2": "compiled listener", "grpc_aio": "grpc.aio", "triton": "Triton"}
ASKED = {
    "kserve_v2": "ModelInfer, raw columns",
    "tensorflow_serving": "TF Serving Predict, raw columns",
    "epm_v1": "epm.v1 Predict, raw columns",
    "kserve_v2 64": "ModelInfer, 64 rows",
    "epm_v1 64": "epm.v1 Predict, 64 rows",
    "stream 64": "StreamPredict, 64 rows a message",
    "tensor": "ModelInfer, the graph's own tensor",
    "empty": "ServerLive, empty",
}

Figures = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the picture below `images/` beside it."""
    (page.parent / "images").mkdir(parents=True, exist_ok=True)
    _draw(figures, page.parent / PICTURE)
    sections = (_introduction, _verdicts, _calls, _latency, _kernels, _threads, _lstm, _starts, _conditions)
    page.write_text("\n\n".join("\n\n".join(section(figures)) for section in sections) + "\n", "utf-8")


def line(figures: Figures) -> str:
    """What the study says, in one line of a list."""
    parts = []
    for side, asked in (("h2", "kserve_v2"), ("grpc_aio", "kserve_v2"), ("triton", "tensor"), ("triton", "empty")):
        of = {} if asked == "empty" else {"model": models(figures)[0]}
        if rates := values(figures, "calls_per_second", side=side, asked=asked, **of):
            cpu = statistics.median(values(figures, "cpu_us_per_call", side=side, asked=asked, **of))
            name = "Triton's empty ServerLive" if asked == "empty" else SIDES[side]
            parts.append(f"{name} {statistics.median(rates):,.0f} ({cpu:.0f})")
    return (
        "- The compiled listener (`--listener h2`), 300 trees, 1 row of raw columns a call, requests/s on one core "
        f"(processor us a call): {', '.join(parts)}."
    )


def _draw(figures: Figures, file: Path) -> None:
    def bars(what: str) -> picture.Values:
        found: dict[tuple[str, str], list[float]] = {}
        for model in models(figures):
            for side, asked in _pairs(figures, model):
                if "64" not in asked:
                    of = {} if asked == "empty" else {"model": model}
                    title = f"{SIDES[side]}: {ASKED[asked].split(',')[0]}"
                    found[title, "no model" if asked == "empty" else model] = values(
                        figures, what, side=side, asked=asked, **of
                    )
        return found

    panels = [
        picture.Panel("requests/s", bars("calls_per_second")),
        picture.Panel("processor microseconds a call", bars("cpu_us_per_call")),
    ]
    picture.draw(panels, file)


def _pairs(figures: Figures, model: str) -> list[tuple[str, str]]:
    """Side and what it was asked, of those with figures."""
    found = [(run["side"], run["asked"]) for run in figures["runs"] if run.get("model") in (model, "")]
    return [pair for pair in dict.fromkeys(found) if pair[0] in SIDES and pair[1] in ASKED]


def _introduction(figures: Figures) -> Iterator[str]:
    yield "# The compiled listener"
    yield wrapped(
        "`epm serve --listener h2` beside the portable listener (grpc.aio) with the same pipeline, and beside Triton:",
        "its empty `ServerLive`, which is its front end with nothing behind it, and the same model by its Python-based",
        "onnxruntime backend, asked with the graph's own tensor. The gateways get raw columns by name: decoding,",
        "feature program, forest, encoding and metrics are all in it.",
    )
    yield wrapped(f"This page is generated (`loadtest/listener/page.py`). On {figures['when']} it was made by")
    yield f"    {figures['command']}"


def _verdicts(figures: Figures) -> Iterator[str]:
    yield "## What it is asked for"
    yield "Ratios of one round each; medians with the 95 % interval (resampled rounds)."
    heads = ("asked", "model", "bound", "found", "95 %", "by processor time", "holds")
    yield table(heads, map(_verdict, verdicts(figures)), 2)


def _verdict(verdict: Verdict) -> list[str]:
    low, high = verdict.range
    processor = f"{statistics.median(verdict.processor):.2f}" if verdict.processor else ""
    return [
        verdict.says,
        verdict.model,
        f"{'at least' if verdict.at_least else 'at most'} {verdict.bound:g}",
        format(verdict.middle, verdict.form),
        f"{low:{verdict.form}} to {high:{verdict.form}}",
        processor,
        "yes" if verdict.holds else "**no**",
    ]


def _calls(figures: Figures) -> Iterator[str]:
    known = figures["conditions"]
    yield "## Calls a second, and what one costs"
    yield wrapped(
        f"A closed loop: {known['connections']} connections with {known['streams']} calls open on each all the time",
        "(streams: one on each connection, 16 messages unanswered). Medians of rounds, with the smallest..largest.",
    )
    rows = []
    for model in models(figures):
        for side, asked in _pairs(figures, model):
            if asked == "empty" and model != models(figures)[0]:
                continue
            of = {} if asked == "empty" else {"model": model}

            def of_all(what: str, form: str, factor: float = 1) -> str:
                found = values(figures, what, side=side, asked=asked, **of)  # noqa: B023 (called at once)
                return spread([value * factor for value in found], form)

            rows.append(
                (
                    SIDES[side],
                    ASKED[asked],
                    "" if asked == "empty" else model,
                    of_all("calls_per_second", ",.0f"),
                    of_all("cpu_us_per_call", ",.1f"),
                    of_all("p50_us", ".3f", 1e-3),
                    of_all("p99_us", ".3f", 1e-3),
                    of_all("client_cpu_share", ".0%"),
                )
            )
    heads = ("server", "asked", "model", "calls/s", "CPU us a call", "p50 ms", "p99 ms", "client's processor")
    yield table(heads, rows, 3)
    yield f"![Requests per second and processor time a call]({PICTURE.as_posix()})"
    yield from _generators(figures)


def _generators(figures: Figures) -> Iterator[str]:
    for model in models(figures):
        ours = values(figures, "generator", side="h2", model=model, asked="one body")
        theirs = [rate for rate in values(figures, "h2load", side="h2", model=model, asked="one body") if rate]
        if ours and theirs:
            yield wrapped(
                f"With one body for ever ({model}): {spread(ours, ',.0f')} calls/s by the generator of this study,",
                f"{spread(theirs, ',.0f')} by h2load of nghttp2. Wherever the client's processor is near 100 %, the",
                "server may be able to do more.",
            )


def _latency(figures: Figures) -> Iterator[str]:
    rate = figures["conditions"]["rate"]
    yield f"## Latency at {rate:,.0f} calls a second"
    yield wrapped(
        "Evenly spaced, ModelInfer of one row. A latency counts from when the call was due: waiting is part of it,",
        "also where the generator itself began a call too late, which it shows as `late`. A tenth of the rate, in",
        "turns with all of it, and how long the generator stood still, tell what is the machine's own.",
    )
    rows = []
    for model, asked in product(models(figures), ("kserve_v2 at a rate", "kserve_v2 at a tenth")):
        of = {"side": "h2", "model": model, "asked": asked}
        shown = [(what, 1e-3, ".3f") for what in ("p50_us", "p99_us", "undisturbed_p99_us", "p999_us", "late_us")]
        rows.append(
            [
                model if asked.endswith("rate") else f"{model}, a tenth of the rate",
                spread(values(figures, "calls_per_second", **of), ",.0f"),
                *(spread([us * factor for us in values(figures, what, **of)], form) for what, factor, form in shown),
                spread(values(figures, "stood_share", **of), ".1%"),
                spread(values(figures, "cpu_share", **of), ".0%"),
            ]
        )
    heads = (
        *("model", "reached calls/s", "p50 ms", "p99 ms", "p99 ms, generator awake", "p99.9 ms", "late at most, ms"),
        *("generator stood still", "server's processor"),
    )
    yield table(heads, rows)


def _kernels(figures: Figures) -> Iterator[str]:
    yield "## Beside the bare kernels"
    yield wrapped(
        "Inspection, feature program and forest alone, on the same rows, 64 at a time, in a process of their own:",
        "processor microseconds a row, and the share of them in what the whole call costs.",
    )
    rows = []
    for model in models(figures):
        bare = values(figures, "cpu_us_per_row", side="bare", model=model)
        for asked in ("kserve_v2 64", "epm_v1 64", "stream 64"):
            whole = values(figures, "cpu_us_per_row", side="h2", model=model, asked=asked)
            share = [one / other for one, other in zip(bare, whole, strict=True)]
            rows.append((model, ASKED[asked], spread(bare, ".2f"), spread(whole, ".2f"), spread(share, ".2f")))
    yield table(("model", "asked", "kernels us a row", "call us a row", "share"), rows, 2)


def _threads(figures: Figures) -> Iterator[str]:
    yield "## More loops"
    yield wrapped(
        f"`EPM_LOOP_THREADS`, ModelInfer of one row of {models(figures)[0]}, 16 connections with 4 calls open on each.",
        "The load generator has one of the processors, so calls per second of processor time are what can be compared.",
    )
    rows = []
    for processors in ("one", "all"):
        for threads in sorted({run["threads"] for run in figures["threads"]}):
            those = [run for run in figures["threads"] if (run["threads"], run["processors"]) == (threads, processors)]
            rows.append(
                (
                    processors,
                    str(threads),
                    spread([run["calls_per_second"] for run in those], ",.0f"),
                    spread([run["cpu_us_per_call"] for run in those], ".1f"),
                    spread([1e6 / run["cpu_us_per_call"] for run in those], ",.0f"),
                    spread([run["memory_mib"] for run in those], ",.0f"),
                )
            )
    heads = ("processors", "loops", "calls/s", "CPU us a call", "calls per CPU second", "MiB")
    yield table(heads, rows)


def _lstm(figures: Figures) -> Iterator[str]:
    yield "## A model that is not a forest"
    yield "`attrition_model` (an LSTM, in batches by Python), 64 callers of one row each, raw columns with histories."
    rows = []
    for side in ("h2", "grpc_aio"):
        those = [run for run in figures["lstm"] if run["side"] == side]
        shown = (("calls_per_second", ",.0f"), ("cpu_us_per_call", ",.0f"), ("p50_us", ",.0f"), ("p99_us", ",.0f"))
        rows.append((SIDES[side], *(spread([run[what] for run in those], form) for what, form in shown)))
    yield table(("listener", "calls/s", "CPU us a call", "p50 us", "p99 us"), rows)


def _starts(figures: Figures) -> Iterator[str]:
    yield "## Start"
    yield "From the start of the process until it is ready; `none` compiles every kernel first, once for each version."
    rows = []
    for side in ("h2", "grpc_aio"):
        for kernels in ("kept", "none"):
            those = [run for run in figures["starts"] if (run["side"], run["kernels"]) == (side, kernels)]
            if those:
                memory = [run["idle_mib"] for run in those if "idle_mib" in run]
                seconds = spread([run["seconds"] for run in those], ".1f")
                rows.append((SIDES[side], kernels, seconds, spread(memory, ",.0f") if memory else ""))
    yield table(("listener", "kernels on disk", "seconds", "idle MiB"), rows, 2)


def _conditions(figures: Figures) -> Iterator[str]:
    machine, known = figures["machine"], figures["conditions"]
    pinned = known["pinned"] and all(run.get("pinned", True) for run in figures["runs"])
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield "## Conditions"
    items = [
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; "
        f"{'servers held to processor 1, the load generator to 0' if pinned else 'nothing held to a processor'}; "
        f"load of other processes before: {machine['load_average_before']}.",
        f"- {known['rounds']} rounds with new processes of all servers, {known['seconds']:g} s a run; "
        f"{known['distinct_bodies']:,} distinct bodies; kept predictions off, metrics on. The trailers of every call "
        "were compared, some answers decoded and held against onnxruntime's.",
        *(f"- {model}: {what}." for model, what in known["models"].items()),
        f"- Python {machine['python']}, {versions}; commit {machine['commit']}.",
    ]
    if known["triton_left_out"]:
        items.append(f"- Triton is left out: {known['triton_left_out']}.")
    yield "\n".join(wrapped(item) for item in items)
