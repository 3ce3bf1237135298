"""What the README and the docs say is true: their example runs, their links lead somewhere, their commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateways import gateway

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.integration
def test_the_example_in_the_readme_gets_a_grade_marked_low_coverage() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    assert "localhost:8500" in code
    with gateway(ROOT / "model_repo") as running:
        code = code.replace("localhost:8500", running.grpc)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[ABC] low_coverage\n", done.stdout)


@pytest.mark.unit
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.unit
def test_make_commands_named_in_the_docs_exist() -> None:
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        name for page in PAGES for name in re.findall(r"`make ([a-z-]+)`|^ +make ([a-z-]+)", page.read_text(), re.M)
    }
    assert {first or second for first, second in named} <= known
