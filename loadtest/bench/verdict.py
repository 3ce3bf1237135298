"""Where the gateway is ahead and where behind, and why, from the figures alone."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtest.bench.lines import Line, lines, measured, median, runs, sizes
from loadtest.bench.rounds import CLOSED, EQUAL_RATE, OURS, SINGLE
from loadtest.text import spread

Figures = dict[str, Any]
AHEAD, BEHIND, LEVEL = "ahead", "behind", "level"
TENSOR = "tensor"
MARGIN = 1.03
"""Below this, the rounds of two equal servers may all fall on one side by chance."""


@dataclass(frozen=True)
class Measure:
    """What is compared: a figure of a kind of run. higher: whether more of it is better."""

    name: str
    figure: str
    kind: str
    higher: bool = False


TAIL = Measure("p99 at equal rate", "p99_us", EQUAL_RATE)
MEASURES = (
    Measure("requests/s", "calls_per_second", CLOSED, higher=True),
    TAIL,
    Measure("CPU a prediction", "cpu_us_per_call", CLOSED),
)

UNITS = {TAIL.name: (" ms", 1e-3, ".2f"), "CPU a prediction": (" us", 1.0, ",.0f")}


@dataclass(frozen=True)
class Verdict:
    """How many times better the gateway is than `peer`, round by round; below 1 it is worse."""

    peer: Line
    rows: int
    measure: Measure
    advantages: tuple[float, ...]

    @property
    def word(self) -> str:
        """`ahead` or `behind` when every round says so by more than `MARGIN`, else `level`."""
        if not self.advantages:
            return LEVEL
        if min(self.advantages) > MARGIN:
            return AHEAD
        return BEHIND if max(self.advantages) < 1 / MARGIN else LEVEL

    @property
    def cell(self) -> str:
        """For the table."""
        return f"{self.word}, {spread(self.advantages, '.2f')}" if self.advantages else "too short a run to tell"


def ours(figures: Figures) -> Line:
    """The gateway, asked as all others are."""
    return next(line for line in lines(figures) if (line.server, line.wire) == (OURS, TENSOR))


def opponents(figures: Figures) -> list[Line]:
    """Other servers that predict, with figures."""
    return [line for line in measured(figures) if line.predicts and line.server != OURS]


def verdicts(figures: Figures) -> list[Verdict]:
    """Against every opponent, at every size, in every measure."""
    return [
        Verdict(peer, rows, measure, _advantages(figures, peer, rows, measure))
        for peer in opponents(figures)
        for rows in sizes(figures)
        for measure in MEASURES
    ]


def _advantages(figures: Figures, peer: Line, rows: int, measure: Measure) -> tuple[float, ...]:
    """Ratios of rounds that both have played, without those too short for the clock (a figure of 0)."""
    mine, theirs = (
        {run["round"]: run[measure.figure] for run in runs(figures, line, rows, measure.kind)}
        for line in (ours(figures), peer)
    )
    ratios = [mine[number] / theirs[number] for number in mine if mine[number] and theirs.get(number)]
    return tuple(ratio if measure.higher else 1 / ratio for ratio in ratios)


def summary(figures: Figures) -> str:
    """In one sentence or two."""
    found = verdicts(figures)
    if not found:
        return "No other server was there to be compared with: see the reasons in the table."
    by_word = {word: [verdict for verdict in found if verdict.word == word] for word in (AHEAD, BEHIND, LEVEL)}
    counts = ", ".join(f"{word} in {len(those)}" for word, those in by_word.items() if those)
    text = f"Of {len(found)} comparisons with servers that predict, the gateway is {counts}."
    if by_word[BEHIND]:
        places = "; ".join(f"{one.measure.name} of {one.peer.name}, {_rows(one.rows)}" for one in by_word[BEHIND])
        text += f" It is behind in: {places}."
    return text


def reasons(figures: Figures) -> Iterator[str]:
    """A paragraph for each opponent and size where the gateway is behind in anything, and one where it is level."""
    found = verdicts(figures)
    for peer in opponents(figures):
        for rows in sizes(figures):
            behind = [one for one in found if (one.peer, one.rows, one.word) == (peer, rows, BEHIND)]
            level = [one for one in found if (one.peer, one.rows, one.word) == (peer, rows, LEVEL) and one.advantages]
            if behind:
                yield " ".join([_lost(behind), *_why(figures, behind)])
            if level:
                yield " ".join([_equal(figures, level), *_apart(figures, level)])


def _lost(behind: list[Verdict]) -> str:
    peer, rows = behind[0].peer, behind[0].rows
    what = " and ".join(f"{one.measure.name} ({statistics.median(one.advantages):.2f})" for one in behind)
    return f"Behind {peer.name} at {_rows(rows)} in {what}."


def _equal(figures: Figures, level: list[Verdict]) -> str:
    peer, rows = level[0].peer, level[0].rows

    def both(measure: Measure) -> str:
        unit, factor, form = ("", 1.0, ",.0f") if measure.higher else UNITS[measure.name]
        mine, theirs = (
            median(figures, line, rows, measure.figure, measure.kind) * factor for line in (ours(figures), peer)
        )
        return f"{measure.name} ({mine:{form}} and {theirs:{form}}{unit})"

    what = " and ".join(both(one.measure) for one in level)
    return f"Level with {peer.name} at {_rows(rows)} in {what}: rounds differ on who is ahead."


def _apart(figures: Figures, level: list[Verdict]) -> Iterator[str]:
    """What the transport, which both may have in common, leaves to be compared."""
    peer, rows = level[0].peer, level[0].rows
    echo = next((line for line in measured(figures) if line.server == "echo"), None)
    if echo is None or not {one.measure.name for one in level} - {TAIL.name}:
        return
    bare, mine, theirs = (median(figures, line, rows, "cpu_us_per_call") for line in (echo, ours(figures), peer))
    if bare < min(mine, theirs):
        yield (
            f"The bare echo on `grpc.aio` costs {bare:,.0f} us a call of the {mine:,.0f} and {theirs:,.0f}: beside "
            f"what such a transport costs, {mine - bare:,.0f} and {theirs - bare:,.0f} us are left to differ in."
        )


def _why(figures: Figures, behind: list[Verdict]) -> Iterator[str]:
    peer, rows = behind[0].peer, behind[0].rows
    names = {one.measure.name for one in behind}
    if TAIL.name in names:
        yield from _tail(figures, peer, rows)
    if names - {TAIL.name}:
        yield from _transport(figures, peer, rows)
        yield from _batching(figures, peer, rows)


def _tail(figures: Figures, peer: Line, rows: int) -> Iterator[str]:
    """Whether the whole of the latencies is longer, or only the tail."""
    mine, theirs = (median(figures, line, rows, "p50_us", EQUAL_RATE) / 1e3 for line in (ours(figures), peer))
    what = "only the slowest calls take longer here" if mine <= theirs else "all calls take longer here"
    yield f"At the equal rate p50 is {mine:.2f} ms, there {theirs:.2f} ms: {what}."


def _transport(figures: Figures, peer: Line, rows: int) -> Iterator[str]:
    """What the bare echo says of it, where there is one."""
    echo = next((line for line in measured(figures) if line.server == "echo"), None)
    if echo is None:
        return
    bare, mine, theirs = (median(figures, line, rows, "cpu_us_per_call") for line in (echo, ours(figures), peer))
    yield f"A call costs the gateway {mine:,.0f} us of processor time and {peer.name} {theirs:,.0f} us."
    if theirs < bare <= mine:
        yield (
            f"The bare echo, whose answer is as long as the question, costs {bare:,.0f} us: `grpc.aio`, on which the "
            "gateway listens, costs more than the whole call there before anything is done. The compiled listener "
            "(`listeners/h2`) that is planned does without it."
        )
    elif mine > theirs and mine > bare:
        yield (
            f"Of the gateway's, {bare:,.0f} us are what `grpc.aio` costs with nothing behind it (the echo); the other "
            f"{mine - bare:,.0f} us are the gateway's own work."
        )


def _batching(figures: Figures, peer: Line, rows: int) -> Iterator[str]:
    """What one call at a time says of it: then there is nothing to put together."""
    mine, theirs = (median(figures, line, rows, "cpu_us_per_call", SINGLE) for line in (ours(figures), peer))
    many = median(figures, peer, rows, "cpu_us_per_call")
    if not theirs > many:
        return
    streams = figures["conditions"]["streams"]
    rate, rival = (median(figures, line, rows, "calls_per_second", SINGLE) for line in (ours(figures), peer))
    yield (
        f"With one call open at a time {peer.name} needs {theirs:,.0f} us a call, with {streams} open {many:,.0f} us: "
        f"what it puts together it does not do {streams} times. One at a time the gateway needs {mine:,.0f} us a call, "
        f"and answers {rate:,.0f}/s where {peer.name} answers {rival:,.0f}/s."
    )


def _rows(rows: int) -> str:
    return f"{rows} row{'s' * (rows > 1)} a call"
