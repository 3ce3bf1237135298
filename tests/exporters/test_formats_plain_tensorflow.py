"""Every SavedModel answers in plain TensorFlow, in a process that imports nothing of this project."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exporters.formats import golden, parity, saved_model
from exporters.formats.parity import Answers
from exporters.models.inputs import graph_inputs
from serving.contract import Contract

pytestmark = pytest.mark.integration
PUBLISHED = sorted(path.parent for path in (Path(__file__).parents[2] / "model_repo").glob("*/*/contract.json"))
SIGNATURES = ("serving_default", "features")

SCRIPT = """
import json, sys
import numpy as np, tensorflow as tf

for version, folder in json.loads(sys.argv[1]):
    signatures = tf.saved_model.load(version).signatures
    for name in ("serving_default", "features"):
        given = {tensor: tf.constant(values) for tensor, values in np.load(f"{folder}/{name}.npz").items()}
        answers = signatures[name](**given)
        np.savez(f"{folder}/answers of {name}.npz", **{tensor: a.numpy() for tensor, a in answers.items()})
print(json.dumps(sorted({module.split(".")[0] for module in sys.modules})))
"""


def test_all_saved_models_answer_both_signatures_as_their_golden_rows_say(both: Path, tmp_path: Path):
    versions = [*PUBLISHED, *sorted(both.glob("*/1"))]
    assert len(versions) >= 3
    contracts = [Contract.load(version / "contract.json") for version in versions]
    rows = [
        golden.load(version / "golden.npz", contract) for version, contract in zip(versions, contracts, strict=True)
    ]
    cases = [(str(version), str(tmp_path / str(number))) for number, version in enumerate(versions)]
    for (_, folder), contract, named in zip(cases, contracts, rows, strict=True):
        Path(folder).mkdir()
        given = graph_inputs(contract, golden.made(named))
        np.savez(f"{folder}/serving_default.npz", **saved_model.by_name(contract.program, given))
        np.savez(f"{folder}/features.npz", **given)
    command = [sys.executable, "-I", "-c", SCRIPT, json.dumps(cases)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    imported = json.loads(ran.stdout.splitlines()[-1])
    assert "tensorflow" in imported
    assert not {"serving", "exporters", "tests"} & set(imported)
    for (_, folder), contract, named in zip(cases, contracts, rows, strict=True):
        answers = [Answers(name, dict(np.load(f"{folder}/answers of {name}.npz"))) for name in SIGNATURES]
        expected, given = Answers("golden rows", golden.outputs(named)), graph_inputs(contract, golden.made(named))
        agreements = parity.check_answers(contract, expected, answers, given)
        assert [agreement.rows for agreement in agreements] == [len(named["features"])] * 2
