"""Pictures are the same bytes whenever and wherever they are drawn, small, and without anything but pixels in them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exporters.cards import plots
from exporters.cards.outcomes import Decisions
from exporters.quality.calibration import reliability

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[2]
DRAW = (
    "import hashlib; from tests.exporters.test_plots import draw; "
    "print([hashlib.sha256(png).hexdigest() for png in draw().values()])"
)


def draw() -> dict[str, bytes]:
    """One picture of each kind."""
    rng = np.random.default_rng(0)
    p = rng.random(3000)
    curves = {"A": reliability(p, rng.random(3000) < p), "costs $1 or $2": reliability(p**2, rng.random(3000) < p)}
    truths = ("within 3 months", "within 6 months", "stays")
    decisions = Decisions(truths, ("flagged", "not flagged"), np.array([[30.0, 12], [0, 0], [40, 400]]))
    return {
        "reliability": plots.reliability(curves),
        "confusion": plots.confusion(decisions),
        "learning curve": plots.learning_curve(((500, 0.6), (1000, 0.65), (2000, 0.66)), "macro-F1"),
    }


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    return draw()


def test_the_same_figures_give_the_same_bytes_in_this_process(pictures):
    assert draw() == pictures


def test_and_in_another_one_whatever_its_user_likes(pictures, tmp_path):
    """A matplotlibrc with other sizes and colours, and another time zone, change nothing."""
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 20\nfigure.facecolor: red\nsavefig.dpi: 300\nlines.linewidth: 9\n"
    )
    environment = {**os.environ, "MATPLOTLIBRC": str(tmp_path), "PYTHONPATH": str(ROOT), "TZ": "Asia/Shanghai"}
    done = subprocess.run(
        [sys.executable, "-c", DRAW], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str([hashlib.sha256(png).hexdigest() for png in pictures.values()])


def test_other_figures_give_other_bytes(pictures):
    assert plots.learning_curve(((500, 0.6), (2000, 0.7)), "macro-F1") != pictures["learning curve"]


@pytest.mark.parametrize("name", ["reliability", "confusion", "learning curve"])
def test_nothing_but_pixels_is_in_a_picture_and_it_is_small(pictures, name):
    png = pictures[name]
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert _chunks(png) <= {"IHDR", "pHYs", "IDAT", "IEND"}
    assert len(png) < 60_000


def _chunks(png: bytes) -> set[str]:
    """Types of the chunks of a PNG."""
    found, at = set(), 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        found.add(png[at + 4 : at + 8].decode())
        at += 12 + length
    return found
