"""The kinds of models that are made here: what their data is by default, and how they are trained."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from exporters.data import attrition as attrition_data
from exporters.data import synthetic
from exporters.data.dataset import Dataset
from exporters.models import attrition, classifier
from exporters.models.made import Made


@dataclass(frozen=True)
class Recipe:
    """One kind of model. `generate` makes synthetic data of (employees, seed); `make` trains on (name, data, seed)."""

    employees: int
    generate: Callable[[int, int], Dataset]
    held_out: float
    """Share of the people that are held out."""
    make: Callable[[str, Dataset, int], Made]


def classification(trees: int = 0) -> Recipe:
    """Grades, or any other classes of a table. trees: of a forest, 0 for the published number."""
    return Recipe(12_000, synthetic.load, classifier.HELD_OUT, partial(classifier.make, trees=trees))


def leaving(trees: int = 0, epochs: int = 0) -> Recipe:
    """Who may leave. trees: the most a booster may have; epochs: of the network; 0 for the published numbers."""
    sizes = attrition.Sizes(rounds=trees or attrition.Sizes.rounds, epochs=epochs or attrition.Sizes.epochs)
    return Recipe(80_000, attrition_data.load, attrition.HELD_OUT, partial(attrition.make, sizes=sizes))


PERFORMANCE, ATTRITION = "performance_model", "attrition_model"
PUBLISHED: dict[str, Callable[[], Recipe]] = {PERFORMANCE: classification, ATTRITION: leaving}
"""The models that are committed in model_repo/."""
