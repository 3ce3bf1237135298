"""The README says of speed what the figures say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "loadtest" / "results"


def summary(readme, results=RESULTS):
    command = [sys.executable, "-m", "loadtest.summary", "--readme", str(readme), "--results", str(results)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.integration
def test_the_readme_is_what_the_committed_figures_say(tmp_path):
    readme = shutil.copy(ROOT / "README.md", tmp_path)
    done = summary(readme)
    assert done.returncode == 0, done.stderr
    text = Path(readme).read_text()
    assert text == (ROOT / "README.md").read_text()
    lines = text.partition("<!-- performance")[2].partition("<!-- end")[0].splitlines()[1:]
    assert len(lines) == 5 + (RESULTS / "listener.json").is_file()
    assert all(name in lines[0] for name in ("this gateway", "Triton", "MLServer", "KServe", "echo"))


@pytest.mark.integration
def test_other_figures_make_other_lines(tmp_path):
    readme = shutil.copy(ROOT / "README.md", tmp_path)
    for file in RESULTS.glob("b*.json"):
        shutil.copy(file, tmp_path)
    figures = json.loads((tmp_path / "bench.json").read_text())
    for run in figures["runs"]:
        run["calls_per_second"] = 123_456.0
    (tmp_path / "bench.json").write_text(json.dumps(figures))
    assert summary(readme, tmp_path).returncode == 0
    assert "this gateway 123,456 / 123,456" in Path(readme).read_text()


@pytest.mark.integration
@pytest.mark.parametrize("text", ["nothing", None])
def test_what_is_missing_is_told_in_a_line(tmp_path, text):
    readme = tmp_path / "README.md"
    if text:
        readme.write_text(text)
    done = summary(readme)
    assert done.returncode == 1
    assert done.stderr.startswith("summary: ")
    assert len(done.stderr.splitlines()) == 1
