"""What became slow is seen, noise is not; and `make test` asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.gate import __main__ as gate
from loadtest.gate.verdict import Bound, Measured, RecordError, bound, table
from loadtest.gate.watched import Watched

ROOT = Path(__file__).parents[2]
STUDY = "python -m loadtest.features"


def run(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )


def record(folder, ratio=2.0, factor=1.6, elsewhere=1.6, cpu="this one"):
    file = folder / "gate.json"
    entry = {"factor": factor, "elsewhere": elsewhere, "recorded": {cpu: {"ratio": ratio}}}
    file.write_text(json.dumps({"ratios": {"kernel": entry}}))
    return file


@pytest.fixture
def watch(monkeypatch):
    """Makes the gate watch one ratio that comes as given, the last one for ever; gives how often it was measured."""

    def watch_ratio(*came):
        asked = []

        def measure(_):
            asked.append(came[min(len(asked), len(came) - 1)])
            return asked[-1]

        monkeypatch.setattr(gate, "watched", lambda: [Watched("kernel", "a kernel beside another", STUDY, measure)])
        monkeypatch.setattr(gate.machine, "describe", lambda: {"cpu": "this one", "commit": "c"})
        return asked

    return watch_ratio


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_feature_kernel_twice_as_slow_is_refused():
    done = run("tests.support.slow_features", "--only", "features-facts")
    assert done.returncode == 1, done.stdout + done.stderr
    (sentence, *_) = [line for line in done.stderr.splitlines() if "is allowed" in line]
    assert sentence.startswith("gate: features-")
    assert f"`{STUDY}` shows what became slow" in sentence
    assert "BROKEN" in done.stdout


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_feature_kernel_as_it_is_passes():
    done = run("loadtest.gate", "--only", "features-facts")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BROKEN" not in done.stdout


@pytest.mark.integration
def test_the_gateway_beside_an_echo_is_measured_in_processor_time():
    from loadtest.gate.transport import gateway_beside_echo

    assert 0 < gateway_beside_echo(ROOT / "model_repo", 1, turns=2) < 1.5


@pytest.mark.unit
def test_importing_the_gate_leaves_the_environment_alone():
    program = "import os; before = dict(os.environ); import loadtest.gate.__main__; assert dict(os.environ) == before"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=False).returncode == 0


@pytest.mark.unit
def test_make_test_ends_with_the_gate():
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", "-n", "test"]
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1].endswith("python -m loadtest.gate")


@pytest.mark.unit
def test_a_ratio_within_its_bound_is_measured_once(watch, tmp_path, capsys):
    asked = watch(1.26)
    assert gate.main(["--recorded", str(record(tmp_path))]) == 0
    assert asked == [1.26]
    assert "holds" in capsys.readouterr().out


@pytest.mark.unit
def test_noise_breaks_a_bound_once_and_is_shown(watch, tmp_path, capsys):
    asked = watch(0.9, 1.1, 1.9)
    assert gate.main(["--recorded", str(record(tmp_path))]) == 0
    assert asked == [0.9, 1.1, 1.9]
    assert "0.90 1.10 1.90" in capsys.readouterr().out


@pytest.mark.unit
def test_a_regression_breaks_it_three_times_and_is_told_in_one_sentence(watch, tmp_path, capsys):
    asked = watch(1.0)
    assert gate.main(["--recorded", str(record(tmp_path))]) == 1
    assert asked == [1.0, 1.0, 1.0]
    out, err = capsys.readouterr()
    assert "BROKEN" in out
    assert err.splitlines()[-1] == (
        "gate: kernel: a kernel beside another: came 1.00, 1.00, 1.00, at least 1.25 is allowed "
        f"(2.00 recorded, divided by 1.6): `{STUDY}` shows what became slow; where it is meant, record it: "
        "`python -m loadtest.gate --record --only kernel`"
    )


@pytest.mark.unit
def test_so_much_better_that_a_regression_would_pass_is_said_but_passes(watch, tmp_path, capsys):
    watch(3.3)
    assert gate.main(["--recorded", str(record(tmp_path))]) == 0
    assert "better: record it" in capsys.readouterr().out


@pytest.mark.unit
def test_recording_keeps_factors_and_other_processors_and_writes_the_median(watch, tmp_path, capsys):
    file = record(tmp_path, factor=1.7, elsewhere=3.0, cpu="another one")
    watch(2.0, 5.0, 2.5, 2.4, 2.6)
    assert gate.main(["--recorded", str(file), "--record"]) == 0
    (entry,) = json.loads(file.read_text())["ratios"].values()
    assert (entry["factor"], entry["elsewhere"]) == (1.7, 3.0)
    assert {cpu: one["ratio"] for cpu, one in entry["recorded"].items()} == {"another one": 2.0, "this one": 2.5}


@pytest.mark.unit
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"ratios": {"kernel": {}}}', None])
def test_without_what_was_recorded_it_says_how_to_record(watch, tmp_path, capsys, text):
    watch(1.0)
    file = tmp_path / "gate.json"
    if text is not None:
        file.write_text(text)
    assert gate.main(["--recorded", str(file)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gate: ")


@pytest.mark.unit
def test_an_unknown_name_is_told_with_the_known_ones(watch, tmp_path, capsys):
    watch(1.0)
    assert gate.main(["--recorded", str(record(tmp_path)), "--only", "nothing"]) == 1
    assert capsys.readouterr().err == "gate: no ratio begins with nothing, there are kernel\n"


@pytest.mark.unit
def test_on_another_processor_the_smallest_ratio_and_the_wider_factor_count():
    kinds = {"a": {"ratio": 6.0}, "b": {"ratio": 4.0}}
    recorded = {"ratios": {"kernel": {"factor": 1.5, "elsewhere": 4.0, "recorded": kinds}}}
    assert bound(recorded, "kernel", "a") == Bound(6.0, 1.5)
    assert bound(recorded, "kernel", "c") == Bound(4.0, 4.0, known=False)
    assert "recorded on another processor" in Measured("k", "w", "s", Bound(4.0, 4.0, False), [0.5]).sentence()


@pytest.mark.unit
@pytest.mark.parametrize(("ratio", "factor", "elsewhere"), [(0, 1.5, 1.5), (1, 2.0, 2.0), (1, 1.0, 2.0), (1, 1.5, 1.4)])
def test_factors_that_twice_as_slow_would_pass_are_refused(ratio, factor, elsewhere):
    entry = {"factor": factor, "elsewhere": elsewhere, "recorded": {"a": {"ratio": ratio}}}
    with pytest.raises(RecordError, match="twice as slow"):
        bound({"ratios": {"kernel": entry}}, "kernel", "a")


@pytest.mark.unit
def test_what_is_committed_has_a_bound_for_every_ratio_that_is_watched():
    recorded = json.loads((ROOT / gate.RECORDED).read_text())
    names = [one.name for one in gate.watched()]
    assert list(recorded["ratios"]) == names
    assert all(bound(recorded, name, cpu).least > 0 for name in names for cpu in ("another",))
    assert all(recorded["ratios"][name]["elsewhere"] < 2 for name in names if name.startswith("features"))


@pytest.mark.unit
def test_the_table_lines_up_and_shows_every_attempt():
    rows = [Measured("a", "first", "s", Bound(2, 1.5), [1.0, 1.9]), Measured("abc", "second", "s", Bound(1, 1.5), [1])]
    head, first, second = table(rows).splitlines()
    assert head.index("what") == first.index("first") == second.index("second")
    assert "1.00 1.90" in first
