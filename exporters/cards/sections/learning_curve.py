"""More rows, better answers: how much better."""

from exporters.cards import markdown
from exporters.data.dataset import Dataset
from exporters.models.made import Made


def render(made: Made, dataset: Dataset) -> str:
    """Empty where no curve was measured."""
    if not made.curve:
        return ""
    fewer = "people" if dataset.owners_known else "rows"
    rows = [[str(count), markdown.share(score)] for count, score in made.curve]
    return (
        f"## Learning curve\n\nThe same training on fewer {fewer}, judged on the same held-out rows: where the line is "
        "flat, more data of this kind would not help.\n\n"
        + markdown.table(["rows trained on", made.curve_score], rows)
        + "\n\n![Learning curve](learning_curve.png)"
    )
