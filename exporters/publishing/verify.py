"""Check what is published: is every file as it was, and does each version still answer as its trained model did."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.errors import ParityError, PublishError
from exporters.formats import golden, parity, saved_model, triton_config
from exporters.fresh_process import FreshProcess
from exporters.models import program
from exporters.progress import say
from exporters.publishing import digests, publish
from serving.contract import Contract
from serving.errors import EpmError
from serving.features.program import compile_program
from serving.features.rows import RowSchema


def report(repository: Path, model: str | None = None) -> int:
    """Print a line for each version that is well and for each problem; 0 when there is none, else 1."""
    failed = False
    with FreshProcess() as process:
        for name in _models(repository, model):
            for number in publish.versions(repository, name):
                say(f"{name} version {number}")
                problems = check(repository / name / str(number), process)
                failed |= bool(problems)
                for line in problems or ["as it was published"]:
                    separator = "/" if problems else ": "
                    print(f"{name}/{number}{separator}{line}", flush=True)
    return int(failed)


def check(version: Path, process: FreshProcess) -> list[str]:
    """What is wrong with a version, a sentence each beginning with the file's name; nothing when all is well.

    A version whose files changed is not run: what its golden rows say would mean nothing. TensorFlow runs in `process`.
    """
    problems = digests.differences(version)
    if problems:
        return problems
    try:
        contract = Contract.load(version / "contract.json")
        _check_names(version, contract)
        _check_answers(version, contract, process)
    except EpmError as error:
        return [error.message]
    return []


def _models(repository: Path, model: str | None) -> list[str]:
    if not repository.is_dir():
        raise PublishError(f"{repository}: no such folder")
    names = sorted(path.name for path in repository.iterdir() if publish.versions(repository, path.name))
    if model is not None:
        names = [name for name in names if name == model]
    if not names:
        raise PublishError(f"{repository}: no version of {model or 'any model'} is published there")
    return names


def _check_names(version: Path, contract: Contract) -> None:
    """The folder and Triton's config have to be what the contract says."""
    if contract.model != version.parent.name:
        raise PublishError(f"contract.json: the model is {contract.model!r}, its folder {version.parent.name!r}")
    if (version / digests.CONFIG).read_text("utf-8") != triton_config.render(contract):
        raise PublishError(f"{digests.CONFIG}: not what the contract calls for")


def _check_answers(version: Path, contract: Contract, process: FreshProcess) -> None:
    """Golden rows through the gateway's features and both exports."""
    named = golden.load(version / "golden.npz", contract)
    schema, rows = RowSchema(contract), program.raw_rows(contract, golden.raw_columns(named))
    schema.refuse_wrong(rows, schema.inspect(rows))
    names = contract.program.features
    X = compile_program(contract).run(rows).features
    if named["features"].shape != X.shape or not np.array_equal(named["features"], X, equal_nan=True):
        raise PublishError(f"golden.npz: the raw rows do not give its features{_where(named['features'], X, names)}")
    expected = parity.Answers("golden rows", named["output.probabilities"], named["output.label"])
    try:
        by_runtime = parity.onnx_answers((version / "model.onnx").read_bytes(), X, "model.onnx")
        parity.check_answers(expected, [by_runtime], X, names)
    except ParityError as error:
        raise PublishError(error.message) from error
    except Exception as error:  # onnxruntime raises many types for a graph that it cannot run
        raise PublishError(f"model.onnx: {error}") from error
    try:
        by_tensorflow = process.call(saved_model.answers, version, X, names)
    except ModuleNotFoundError:
        raise  # what is missing is a package of ours, and nothing is wrong with the version
    except Exception as error:  # as many for a SavedModel
        raise PublishError(f"saved_model.pb: {error}") from error
    parity.check_answers(by_runtime, by_tensorflow, X, names)


def _where(golden_features: NDArray[np.float32], X: NDArray[np.float32], names: tuple[str, ...]) -> str:
    if golden_features.shape != X.shape:
        return f": shapes {golden_features.shape} and {X.shape}"
    row, feature = np.argwhere(golden_features != X)[0]
    return f": row {row}, feature {names[feature]}"
