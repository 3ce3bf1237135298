"""Check what is published: is every file as it was, and does each version still answer as its trained model did."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.errors import ParityError, PublishError
from exporters.formats import golden, parity, saved_model, triton_config
from exporters.formats.parity import Agreement, Answers
from exporters.fresh_process import FreshProcess
from exporters.models.inputs import graph_inputs, raw_rows
from exporters.models.made import Tensors
from exporters.progress import say
from exporters.publishing import digests, papers, publish
from serving.contract import Contract
from serving.errors import EpmError
from serving.features.program import Features, compile_program
from serving.features.rows import RawRows, RowSchema

FILES = (
    digests.CONFIG,
    "card.md",
    "contract.json",
    "golden.npz",
    "model.onnx",
    "parity.json",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
)
"""What no version can be without."""
_IMAGE = re.compile(r"!\[[^]]*]\(([^)]+)\)")


@dataclass(frozen=True)
class Outcome:
    """What was found of one version."""

    problems: tuple[str, ...]
    """A sentence each, beginning with a file's name."""
    agreements: tuple[Agreement, ...] = ()
    """How far each export is from the golden rows, where there is no problem."""


def report(repository: Path, model: str | None = None) -> int:
    """Print a line for each version that is well and for each problem; 0 when there is none, else 1."""
    failed = False
    with FreshProcess() as process:
        for name in _models(repository, model):
            for number in publish.versions(repository, name):
                say(f"{name} version {number}")
                outcome = check(repository / name / str(number), process)
                failed |= bool(outcome.problems)
                for problem in outcome.problems:
                    print(f"{name}/{number}/{problem}", flush=True)
                if not outcome.problems:
                    print(f"{name}/{number}: {_well(outcome.agreements)}", flush=True)
    return int(failed)


def check(version: Path, process: FreshProcess) -> Outcome:
    """Hold a version to its digests, its contract and its golden rows. TensorFlow runs in `process`.

    A version whose files changed is not run: what its golden rows say would mean nothing.
    """
    problems = digests.differences(version) or _absent(version)
    if problems:
        return Outcome(tuple(problems))
    try:
        contract = Contract.load(version / "contract.json")
        _check_names(version, contract)
        papers.check(version, contract)
        return Outcome((), tuple(_check_answers(version, contract, process)))
    except EpmError as error:
        return Outcome((error.message,))


def _well(agreements: tuple[Agreement, ...]) -> str:
    """By how much another processor may have rounded otherwise."""
    largest = max(agreement.difference for agreement in agreements)
    rows = agreements[0].rows
    return f"as it was published; {rows} golden rows, largest difference {largest:.1e}"


def _models(repository: Path, model: str | None) -> list[str]:
    if not repository.is_dir():
        raise PublishError(f"{repository}: no such folder")
    names = sorted(path.name for path in repository.iterdir() if publish.versions(repository, path.name))
    if model is not None:
        names = [name for name in names if name == model]
    if not names:
        raise PublishError(f"{repository}: no version of {model or 'any model'} is published there")
    return names


def _absent(version: Path) -> list[str]:
    """Files that a version needs, or that its card shows, and that nobody lists either."""
    problems = [f"{name}: missing" for name in FILES if not (version / name).is_file()]
    card = version / "card.md"
    shown = _IMAGE.findall(card.read_text("utf-8", "replace")) if card.is_file() else []
    return problems + [f"{name}: missing, card.md shows it" for name in shown if not (version / name).is_file()]


def _check_names(version: Path, contract: Contract) -> None:
    """The folder and Triton's configs have to be what the contract says."""
    if contract.model != version.parent.name:
        raise PublishError(f"contract.json: the model is {contract.model!r}, its folder {version.parent.name!r}")
    for name, text in triton_config.render(contract).items():
        config = version.parent / name
        allowed = {text, triton_config.former(contract)} if name == triton_config.CPU else {text}
        if config.is_file() and config.read_text("utf-8") not in allowed:
            raise PublishError(f"../{name}: not what the contract calls for")


def _check_answers(version: Path, contract: Contract, process: FreshProcess) -> list[Agreement]:
    """Golden rows through the gateway's features and both exports. Raises PublishError naming the file to blame."""
    named = golden.load(version / "golden.npz", contract)
    made = compile_program(contract).run(_golden_rows(contract, named))
    _check_features(contract, golden.made(named), made)
    inputs = graph_inputs(contract, made)
    exports = [("model.onnx", _by_onnxruntime(version, inputs))]
    exports += [("saved_model.pb", answers) for answers in _by_tensorflow(version, contract, inputs, process)]
    return _agreements(contract, Answers("golden rows", golden.outputs(named)), exports, inputs)


def _by_onnxruntime(version: Path, inputs: Tensors) -> Answers:
    try:
        return parity.onnx_answers((version / "model.onnx").read_bytes(), inputs, "ONNX")
    except Exception as error:  # onnxruntime raises many types for a graph that it cannot run
        raise PublishError(f"model.onnx: {error}") from error


def _by_tensorflow(version: Path, contract: Contract, inputs: Tensors, process: FreshProcess) -> list[Answers]:
    try:
        return process.call(saved_model.answers, version, contract.program, inputs)
    except ModuleNotFoundError:
        raise  # what is missing is a package of ours, and nothing is wrong with the version
    except Exception as error:  # as many types for a SavedModel
        raise PublishError(f"saved_model.pb: {error}") from error


def _agreements(
    contract: Contract, expected: Answers, exports: list[tuple[str, Answers]], inputs: Tensors
) -> list[Agreement]:
    """Hold each export to the golden rows. Where all of them differ, it is the golden rows that changed."""
    agreements, refused = [], []
    for file, answers in exports:
        try:
            agreements += parity.check_answers(contract, expected, [answers], inputs)
        except ParityError as error:
            refused.append((file, error.message))
    if refused:
        file, message = refused[0]
        raise PublishError(f"{'golden.npz' if len(refused) == len(exports) else file}: {message}")
    return agreements


def _golden_rows(contract: Contract, named: golden.Arrays) -> RawRows:
    """The raw rows, as the gateway would accept them."""
    try:
        rows, schema = raw_rows(contract, golden.raw_columns(named)), RowSchema(contract)
        schema.refuse_wrong(rows, schema.inspect(rows))
    except EpmError as error:
        raise PublishError(f"golden.npz: raw.{error.field}: {error.message}") from error
    return rows


def _check_features(contract: Contract, said: Features, made: Features) -> None:
    """Bit for bit."""
    for name, values, program_makes in zip(("features", "window"), said, made, strict=True):
        if values.shape != program_makes.shape:
            shapes = f"shapes {values.shape} and {program_makes.shape}"
            raise PublishError(f"golden.npz: the raw rows do not give its {name}: {shapes}")
        if not np.array_equal(values, program_makes, equal_nan=True):
            where = _where(contract, values, program_makes)
            raise PublishError(f"golden.npz: the raw rows do not give its {name}: {where}")


def _where(contract: Contract, said: NDArray[np.float32], made: NDArray[np.float32]) -> str:
    """The first place of two arrays that differ."""
    row, *place = np.argwhere((said != made) & ~(np.isnan(said) & np.isnan(made)))[0].tolist()
    if len(place) == 1:
        return f"row {row}, feature {contract.program.features[place[0]]}"
    return f"row {row}, {contract.program.window[place[1]]} of month {place[0]}"
