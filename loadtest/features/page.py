"""The page docs/features-performance.md, from the figures of one run and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.features.measure import BY_HAND, FROM_LISTS, GATEWAY, LIBRARIES, MEMORY, NO_STEPS
from loadtest.text import cells, wrapped

PICTURE = Path("images/features-performance.png")
TITLES = {
    GATEWAY: "**the gateway's kernel**",
    BY_HAND: "Numba, written by hand for this program",
    FROM_LISTS: "the gateway's kernel, after putting rows together from Python lists of texts and numbers",
    NO_STEPS: "the gateway's kernel with a program of no steps: what a call and reading the rows cost",
    MEMORY: "reading the rows and writing the matrix, nothing else (NumPy)",
}
AT_ONE_ROW, AT_MANY_ROWS, OF_BY_HAND = 1000, 10, 2

Figures = dict[str, Any]
Case = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the picture below `images/` beside it."""
    image = page.parent / PICTURE
    image.parent.mkdir(parents=True, exist_ok=True)
    draw(figures["cases"], image)
    sections = (_introduction, _targets, _tables, _programs, _conditions)
    page.write_text("\n\n".join("\n".join(section(figures)) for section in sections) + "\n")


def ratio(case: Case, name: str) -> float:
    """How many times the gateway's time another implementation takes."""
    return float(case["times"][name]["median_us"] / case["times"][GATEWAY]["median_us"])


def targets(case: Case) -> list[tuple[str, float, bool]]:
    """(what was set as a target, the figure, whether it is met) of one program and number of rows."""
    found = []
    if case["rows"] == 1:
        for name in ("pandas", "scikit-learn"):
            times = ratio(case, name)
            found.append((f"at least {AT_ONE_ROW:,} times as fast as {name}", times, times >= AT_ONE_ROW))
    else:
        best = min(LIBRARIES, key=lambda name: ratio(case, name))
        times = ratio(case, best)
        found.append((f"at least {AT_MANY_ROWS} times as fast as the best of the three, {best}", times, times >= 10))
    times = 1 / ratio(case, BY_HAND)
    found.append((f"at most {OF_BY_HAND} times the time of the hand-written one", times, times <= OF_BY_HAND))
    return found


def draw(cases: list[Case], file: Path) -> None:
    """Bars of the time a row, on a logarithmic scale; the same figures give the same bytes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = (BY_HAND, GATEWAY, "polars", "scikit-learn", "pandas")
    programs = list(dict.fromkeys(case["program"] for case in cases))
    chart, axes = plt.subplots(1, len(programs), figsize=(9, 3.8), layout="constrained", sharey=True)
    for axis, program in zip(axes, programs, strict=True):
        shown = [case for case in cases if case["program"] == program]
        width = 0.8 / len(names)
        for at, name in enumerate(names):
            places = [number + (at - (len(names) - 1) / 2) * width for number in range(len(shown))]
            heights = [case["times"][name]["median_us"] * 1e3 / case["rows"] for case in shown]
            axis.bar(places, heights, width * 0.92, label=name)
        axis.set_yscale("log")
        axis.set_title(program)
        axis.set_xticks(range(len(shown)), [f"{case['rows']:,} row{'s' * (case['rows'] > 1)}" for case in shown])
    axes[0].set_ylabel("ns a row")
    axes[-1].legend(frameon=False, fontsize="small")
    chart.savefig(file, dpi=120, metadata={"Software": None})
    plt.close(chart)


def _introduction(figures: Figures) -> Iterator[str]:
    yield "# Performance of feature programs\n"
    yield wrapped(
        "Two programs, each in five implementations that give the same float32 matrix: the gateway's kernel, which",
        "runs any program from flat arrays; a Numba function written by hand for just this program; pandas; a",
        "scikit-learn Pipeline; polars. One thread, one process, in turn.",
    )
    yield f"\nThis page is generated (`loadtest/features/page.py`). On {figures['when']} it was made by\n"
    yield f"    {figures['command']}"


def _targets(figures: Figures) -> Iterator[str]:
    yield "## Targets\n"
    yield cells(("program", "rows", "target", "found", ""))
    yield "|---|---:|---|---:|---|"
    for case in figures["cases"]:
        if case["rows"] in (1, max(other["rows"] for other in figures["cases"])):
            for what, times, met in targets(case):
                verdict = "met" if met else "**not met**"
                yield cells((case["program"], f"{case['rows']:,}", what, f"{_short(times)} times", verdict))
    yield f"\n![Time a row of five implementations, logarithmic]({PICTURE.as_posix()})"


def _tables(figures: Figures) -> Iterator[str]:
    yield "## Times\n"
    yield wrapped("Medians of single calls; the smallest beside them says what a quiet machine would give.")
    for case in figures["cases"]:
        yield f"\n{case['program']}, {case['rows']:,} row{'s' * (case['rows'] > 1)} a call:\n"
        yield cells(("implementation", "us a call", "smallest", "ns a row", "times the kernel's"))
        yield "|---|---:|---:|---:|---:|"
        for name, found in case["times"].items():
            times = "" if name == GATEWAY else _short(ratio(case, name))
            per_row = found["median_us"] * 1e3 / case["rows"]
            yield cells(
                (TITLES.get(name, name), _short(found["median_us"]), _short(found["least_us"]), _short(per_row), times)
            )


def _programs(figures: Figures) -> Iterator[str]:
    yield "## What is compared\n"
    for program in figures["programs"]:
        window = f" and a window of {program['window']}" if program["window"] else ""
        yield wrapped(
            f"- {program['name']}: {program['inputs']} inputs, {program['steps']} steps of {len(program['ops'])}",
            f"operations ({', '.join(program['ops'])}), {program['features']} features{window}.",
        )
    yield wrapped(
        "- All read the same rows, 10 % of the cells missing, and start from what is quickest for them: the kernel and",
        "the hand-written function from float64 matrices; pandas from a DataFrame with float64, int8 codes of",
        "categories and datetime64, and a frame of 24 columns a history; scikit-learn from one float64 matrix; polars",
        "from a DataFrame with nulls, integer codes and Date, a column a month. Texts are hashed before, codes of",
        "categories are given: only the line 'from Python lists' looks names up, hashes texts and reads dates.",
    )
    yield wrapped(
        "- pandas is vectorised over rows, no `apply`. The pipeline is a ColumnTransformer of SimpleImputer,",
        "StandardScaler, OneHotEncoder and, for the rest, FunctionTransformer over NumPy, with given state. polars",
        "evaluates expressions in few eager stages; as lazy queries the same stages took as long without the",
        "optimizer, and 5 to 20 % longer with it.",
    )
    yield wrapped(
        "- Before anything was timed, all features were compared: within four units in the last place of float32, and",
        "between the kernel and the hand-written function to about the rounding of the logarithm.",
    )
    yield wrapped(
        "- The hand-written function keeps a row in registers and writes it once; it uses no fast-math, as the kernel.",
        "At 1 row what is compared is mostly what a call costs: see the line 'a program of no steps'.",
    )


def _conditions(figures: Figures) -> Iterator[str]:
    machine, effort = figures["machine"], figures["effort"]
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    yield "## Conditions\n"
    yield wrapped(
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; load",
        f"average before the run {machine['load_average_before']}.",
    )
    yield wrapped(f"- Python {machine['python']}, {versions}; commit {machine['commit']}.")
    yield wrapped(
        f"- One thread: the thread pools of all libraries were set to one, and {figures['processor_share']:.0%} of one",
        f"processor was used. {effort['rounds']} rounds; in each, every implementation in turn called for",
        f"{effort['moment'] * 1e3:g} ms (but {effort['least']} times), with other rows in every call, after one call",
        "that does not count. Garbage collection was off.",
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
