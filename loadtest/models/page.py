"""The section of docs/models.md about the published models, from the figures alone."""

from typing import Any

BEGIN, END = "<!-- figures of the published models: make models-quality -->", "<!-- end of these figures -->"


def replaced(page: str, section: str) -> str:
    """A page with `section` between the markers. Raises ValueError when they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the figures: expected the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def section(figures: dict[str, Any]) -> str:
    """Markdown."""
    machine = figures["machine"]
    parts = [
        f"Measured by `make models-quality` on {machine['cpu']}, {machine['cores']} cores; one thread each, medians, "
        "the formats taking turns; ready tensors of golden rows for ONNX and SavedModel, raw columns for the gateway. "
        "Parity: largest difference of a probability from the trained model on 10,000 held-out rows with missing "
        "values, extremes and unseen categories, as found at publishing, and labels that differ.",
        _formats(figures["published"]),
        "How near the published versions come to the best possible, answered by the gateway's features and backend, on "
        "generated people of another seed whom no training has seen. The gap is that to one who knows the true "
        "probabilities; calibration error over 15 bins of equal mass. Grades depend on twelve complete months and "
        "their order, of which `performance_model` sees one row: most of its gap cannot be closed.",
        _nearness({one["model"]: one["nearness"] for one in figures["published"]}),
        "The same procedure trained and judged on a second generator with other effects, on which nothing was tuned "
        f"(`{figures['second']['model']}`, never published):",
        _nearness({figures["second"]["model"]: figures["second"]["nearness"]}),
    ]
    return "\n\n".join(parts)


def _formats(published: list[dict[str, Any]]) -> str:
    lines = [
        "| model | format | KiB | largest difference | labels that differ | 1 row, us | 256 rows, us |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in published:
        for one in model["formats"]:
            size = "" if one["bytes"] is None else f"{one['bytes'] / 1024:.0f}"
            timed = one["microseconds"]
            lines.append(
                f"| {model['model']} | {one['format']} | {size} | {one['largest_difference']:.1e} "
                f"| {one['labels_that_differ']} of {one['rows']} | {timed['1']:.0f} | {timed['256']:.0f} |"
            )
    return "\n".join(lines)


def _nearness(models: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| model | output | rows | AUC | best possible | gap | calibration error |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {model} | {one['output']} | {near['rows']} | {one['auc']:.4f} | {one['best_possible_auc']:.4f} "
        f"| {one['gap']:.4f} | {one['calibration_error']:.4f} |"
        for model, near in models.items()
        for one in near["outputs"]
    ]
    return "\n".join(lines)
