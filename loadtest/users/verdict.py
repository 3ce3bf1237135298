"""The verdict as text: a table with a line a kind, PASS or FAIL, and a sentence for each broken threshold."""

from collections.abc import Sequence

from loadtest.users.figures import KindFigures, RunFigures, round_ms
from loadtest.users.thresholds import comparable, named

HEADS = ("kind", "calls", "calls/s", "p50 ms", "p95 ms", "p99 ms", "p50 / echo", "p99 / echo", "failures")


def verdict(run: RunFigures, echo: RunFigures | None, broken: Sequence[str]) -> str:
    """What stands at the end of the output."""
    rows = [_row(name, figures, run.seconds, echo and echo.kinds.get(name)) for name, figures in run.kinds.items()]
    calls, failed = (sum(getattr(figures, what) for figures in run.kinds.values()) for what in ("calls", "failed"))
    total = f"{calls:,} calls in {run.seconds:.0f} s, {failed:,} failed"
    end = f"FAIL: {total}; broken thresholds: {len(broken)}" if broken else f"PASS: {total}; all thresholds kept"
    return "\n".join([*_aligned([HEADS, *rows]), "", end, *(f"  - {sentence}" for sentence in broken)])


def _row(name: str, figures: KindFigures, seconds: float, echo: KindFigures | None) -> tuple[str, ...]:
    return (
        name,
        f"{figures.calls:,}",
        f"{figures.calls / seconds:,.1f}",
        *(f"{round_ms(value):,g}" for value in (figures.p50_ms, figures.p95_ms, figures.p99_ms)),
        *(_ratio(percentile, figures, echo) for percentile in ("p50", "p99")),
        named(figures),
    )


def _ratio(percentile: str, figures: KindFigures, echo: KindFigures | None) -> str:
    if echo is None or not comparable(percentile, figures, echo):
        return "-"
    return f"{getattr(figures, f'{percentile}_ms') / getattr(echo, f'{percentile}_ms'):.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Texts to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            text.ljust(width) if at in (0, last) else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
