"""The command line: it says what it can do, at once, and refuses what it cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

from exporters import cli
from exporters.data import schema

pytestmark = pytest.mark.unit


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from exporters import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {'numpy', 'tensorflow', 'xgboost', 'sklearn', 'onnx', 'numba'}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    for command in ("schema", "train", "verify", "sample"):
        assert command in ran.stdout


def test_schema_prints_every_column_with_its_range_and_both_titles(capsys):
    assert cli.main(["schema"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(schema.COLUMNS) + 2
    (hours,) = (line for line in lines if line.startswith("hours "))
    for text in ("h/week", "0 .. 168", "never", "average weekly working hours", "平均每周工时"):
        assert text in hours
    assert len(schema.INPUTS) == 20


def test_sample_writes_the_same_file_again(tmp_path: Path, capsys):
    out = tmp_path / "folder" / "employees.csv"
    assert cli.main(["sample", "--out", str(out), "--employees", "20"]) == 0
    first = out.read_text()
    assert cli.main(["sample", "--employees", "20"]) == 0
    assert capsys.readouterr().out == first
    assert len(first.splitlines()) == 21


def test_the_sample_in_the_examples_is_what_the_command_writes(capsys):
    assert cli.main(["sample"]) == 0
    examples = Path(__file__).resolve().parents[2] / "examples" / "employees.csv"
    assert examples.read_text("utf-8") == capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--mapping", "m.toml"], "--mapping says what the columns of --data mean"),
        (["--data", "x.csv", "--dataset", "inx"], "choose one"),
        (["--employees", "10"], "got 10, expected at least 50"),
        (["--trees", "-1"], "--trees"),
        (["performance_inx"], "say --dataset inx"),
        (["--data", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--dataset", "inx", "--data-dir", "nowhere"], "nowhere/inx_employee_performance.csv"),
        (["Bad-Name", "--employees", "50"], "model name: got 'Bad-Name'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *arguments]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "package"),
    [("onnx", "onnx"), ("sklearn", "scikit-learn"), ("tensorflow", "tensorflow"), ("xgboost", "xgboost-cpu")],
)
def test_without_the_export_extra_one_sentence_names_the_package_and_the_extra(tmp_path: Path, module, package):
    script = f"""
import sys
from importlib import metadata

version = metadata.version

class Lost:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

def version_unless_lost(name):
    if name == {package!r}:
        raise metadata.PackageNotFoundError(name)
    return version(name)

sys.meta_path.insert(0, Lost())
metadata.version = version_unless_lost
from exporters import cli
sys.exit(cli.main(["train", "--employees", "200", "--seed", "3", "--trees", "2"]))
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    said = [line for line in ran.stderr.splitlines() if not line.startswith("[")]  # all but progress
    assert said == [f"epm-export: {package} is not installed: pip install 'epm-serving[export]'"]
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_is_missing_by_our_own_mistake_is_not_blamed_on_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "exporters.publishing", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["verify", "model_repo"])
