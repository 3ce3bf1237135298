"""Measure the published models and write the figures into docs/models.md: `python -m loadtest.models`.

Trains on a second generator as well, so it takes some minutes. Figures out of bounds are named when the page is
written, and the exit status is 1.
"""

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from exporters import recipes
from exporters.data import attrition, synthetic
from exporters.data.table import Table
from exporters.formats import parity, triton_config
from exporters.fresh_process import FreshProcess
from exporters.progress import say
from exporters.publishing import export, publish
from loadtest import machine
from loadtest.models import bounds, formats, nearness, page
from serving.errors import EpmError

SEED, UNSEEN = 7, 4_000_037
"""Seed of the second model, and of people whom no training has seen."""
PEOPLE = {recipes.PERFORMANCE: 24_000, recipes.ATTRITION: 40_000}


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 with the reason on standard error: what went wrong, or the figures that are out of bounds."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.models", description=__doc__)
    parser.add_argument("--model-repo", type=Path, default=Path("model_repo"))
    parser.add_argument("--results", type=Path, default=Path("loadtest/results/models.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/models.md"))
    parser.add_argument("--report", action="store_true", help="write the page again from the figures, measure nothing")
    options = parser.parse_args(arguments)
    try:
        text = options.page.read_text("utf-8")
        page.replaced(text, "")  # refuse before the long part
        if not options.report:
            figures = measure(options.model_repo)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            options.results.write_text(json.dumps(figures, indent=1) + "\n")
        figures = json.loads(options.results.read_text())
        options.page.write_text(page.replaced(text, page.section(figures)), "utf-8")
        broken = bounds.broken(figures)
    except (EpmError, OSError, ValueError) as error:
        print(f"models: {error}", file=sys.stderr)
        return 1
    print(f"{options.results}\n{options.page}")
    for sentence in broken:
        print(f"models: out of bounds: {sentence}", file=sys.stderr)
    return int(bool(broken))


def measure(repository: Path) -> dict[str, Any]:
    """Everything the page says, as plain values."""
    published = []
    with FreshProcess() as process:
        for model in recipes.PUBLISHED:
            folder = repository / model / str(publish.versions(repository, model)[-1])
            say(f"{model}: formats")
            figures = formats.measure(folder, process)
            say(f"{model}: nearness to the best possible")
            published.append({**figures, "nearness": nearness.measure(folder, unseen(model, PEOPLE[model]))})
    return {"machine": machine.describe(), "published": published, "second": second()}


def unseen(model: str, people: int, effects: str = "first") -> Table:
    """The newest rows of generated people whom no training has seen."""
    if model == recipes.PERFORMANCE:
        table = synthetic.load(people, UNSEEN).table
    else:
        table = attrition.load(people, UNSEEN, effects).table
    months = table.attributes["month"]
    return table.rows(months == max(months))


def second(people: int = 0, unseen_people: int = PEOPLE[recipes.ATTRITION]) -> dict[str, Any]:
    """Attrition learnt and judged on the second generator, through the same gate as a published version."""
    recipe, model = recipes.leaving(), "attrition_second"
    say("second generator: training")
    dataset = partial(attrition.load, effects="second")(people or recipe.employees, SEED)
    made = recipe.make(model, dataset, SEED)
    exported = export.export(made, SEED)
    with tempfile.TemporaryDirectory() as temporary:
        files = {**exported.files, "parity.json": parity.report(exported.agreements)}
        folder = publish.publish(Path(temporary), model, files, triton_config.render(made.contract))
        found = nearness.measure(folder, unseen(recipes.ATTRITION, unseen_people, "second"))
    return {"model": model, "published": made.published, "nearness": found}


if __name__ == "__main__":
    sys.exit(main())
