"""Grafana's dashboards, made from descriptions of their panels: `files` gives the JSON that lies beside this."""

from pathlib import Path

FOLDER = Path(__file__).parent


def files() -> dict[str, str]:
    """The text of each dashboard by the name of its file in this folder; the same at every call."""
    from k8s.monitoring.dashboards import backends, model, overview
    from k8s.monitoring.dashboards.build import text

    return {f"{board.BOARD.name}.json": text(board.BOARD) for board in (overview, model, backends)}
