"""More rows, better answers: how much better."""

from exporters.cards import markdown
from exporters.models.made import Made


def render(made: Made) -> str:
    """Empty where no curve was measured."""
    if not made.curve:
        return ""
    rows = [[str(count), markdown.share(score)] for count, score in made.curve]
    return (
        "## Learning curve\n\nThe same training on fewer people, judged on the same held-out rows: where the line is "
        "flat, more data of this kind would not help.\n\n"
        + markdown.table(["rows trained on", made.curve_score], rows)
        + "\n\n![Learning curve](learning_curve.png)"
    )
