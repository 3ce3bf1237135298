"""What the compiled listener is asked for, held against the figures of one run: ratios round by round."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.telemetry.page import interval

Figures = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One line: what is compared, of which model, the values round by round, and the bound of their median."""

    says: str
    model: str
    values: Sequence[float]
    bound: float
    at_least: bool
    form: str = ".2f"
    processor: Sequence[float] = ()
    """The same ratio by processor time a call, where there is one."""

    @property
    def middle(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def holds(self) -> bool:
        """Whether the median keeps the bound."""
        return self.middle >= self.bound if self.at_least else self.middle <= self.bound

    @property
    def range(self) -> tuple[float, float]:
        """95 % of the median, by resampling rounds."""
        return interval(list(self.values))


def values(figures: Figures, what: str, **wanted: Any) -> list[float]:
    """One figure of each run that has these, by round; empty without any."""
    found = [run for run in figures["runs"] if wanted.items() <= run.items()]
    return [run[what] for run in sorted(found, key=lambda run: run["round"])]


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round; empty where either is."""
    return [one / other for one, other in zip(over, under, strict=True)] if over and under else []


def models(figures: Figures) -> list[str]:
    """In the order in which they were asked."""
    return list(figures["conditions"]["models"])


def verdicts(figures: Figures) -> list[Verdict]:
    """All of which there are figures."""
    found = [verdict for model in models(figures) for verdict in _of_model(figures, model)]
    found += [*_threads(figures), *_lstm(figures), *_starts(figures)]
    return [verdict for verdict in found if verdict.values]


def _of_model(figures: Figures, model: str) -> Iterator[Verdict]:
    def rate(side: str, asked: str) -> list[float]:
        of = {} if asked == "empty" else {"model": model}
        return values(figures, "calls_per_second", side=side, asked=asked, **of)

    def cpu(side: str, asked: str) -> list[float]:
        of = {} if asked == "empty" else {"model": model}
        return values(figures, "cpu_us_per_call", side=side, asked=asked, **of)

    ours, cost = rate("h2", "kserve_v2"), cpu("h2", "kserve_v2")
    for says, side, asked, bound in (
        ("ModelInfer beside Triton's empty ServerLive", "triton", "empty", 1.3),
        ("ModelInfer beside that of `grpc_aio`", "grpc_aio", "kserve_v2", 10.0),
        ("ModelInfer beside Triton with the same model", "triton", "tensor", 10.0),
    ):
        processor = ratios(cpu(side, asked), cost)
        yield Verdict(says, model, ratios(ours, rate(side, asked)), bound, True, processor=processor)
    for asked, title in (("tensorflow_serving", "TF Serving Predict"), ("epm_v1", "epm.v1 Predict")):
        processor = ratios(cost, cpu("h2", asked))
        yield Verdict(
            f"{title} beside ModelInfer", model, ratios(rate("h2", asked), ours), 0.75, True, ".2f", processor
        )
    at_rate = {"side": "h2", "model": model, "asked": "kserve_v2 at a rate"}
    late = [us / 1e3 for us in values(figures, "p99_us", **at_rate)]
    target = figures["conditions"]["rate"]
    yield Verdict(f"p99 at {target:,.0f} calls/s, ms", model, late, 1.0, False, ".3f")
    reached = [found / target for found in values(figures, "calls_per_second", **at_rate)]
    yield Verdict(f"share of {target:,.0f} calls/s that was reached", model, reached, 0.98, True, ".3f")
    bare = values(figures, "cpu_us_per_row", side="bare", model=model)
    for asked, title in (
        ("kserve_v2 64", "ModelInfer"),
        ("epm_v1 64", "epm.v1 Predict"),
        ("stream 64", "StreamPredict"),
    ):
        rows = values(figures, "cpu_us_per_row", side="h2", model=model, asked=asked)
        yield Verdict(f"bare kernels' share of {title} of 64 rows", model, ratios(bare, rows), 0.8, True)


def _threads(figures: Figures) -> Iterator[Verdict]:
    def of(what: str, threads: int, processors: str) -> list[float]:
        found = [run for run in figures["threads"] if (run["threads"], run["processors"]) == (threads, processors)]
        return [run[what] for run in sorted(found, key=lambda run: run["round"])]

    for processors in ("one", "all"):
        more = ratios(of("cpu_us_per_call", 2, processors), of("cpu_us_per_call", 1, processors))
        where = "one processor" if processors == "one" else "all processors"
        yield Verdict(f"processor time a call with two loops beside one, on {where}", "", more, 1.1, False, ".3f")
    one, four = of("memory_mib", 1, "one"), of("memory_mib", 4, "one")
    added = [(more - less) / 3 for more, less in zip(four, one, strict=True)]
    yield Verdict("MiB of each further loop, of four", "", added, 20.0, False, ".1f")


def _lstm(figures: Figures) -> Iterator[Verdict]:
    def of(side: str, what: str) -> list[float]:
        found = sorted((run for run in figures["lstm"] if run["side"] == side), key=lambda run: run["round"])
        return [run[what] for run in found]

    more = ratios(of("h2", "calls_per_second"), of("grpc_aio", "calls_per_second"))
    processor = ratios(of("grpc_aio", "cpu_us_per_call"), of("h2", "cpu_us_per_call"))
    yield Verdict("64 callers beside those of `grpc_aio`", "attrition_model", more, 3.0, True, processor=processor)


def _starts(figures: Figures) -> Iterator[Verdict]:
    found = [start["seconds"] for start in figures["starts"] if (start["side"], start["kernels"]) == ("h2", "kept")]
    yield Verdict("seconds until ready, kernels kept", "", found, 3.0, False, ".1f")
