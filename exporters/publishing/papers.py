"""What is published beside the graphs says the same of them everywhere: contract, card and parity.json."""

import re
from pathlib import Path

import msgspec
import numpy as np

from exporters.errors import PublishError
from exporters.formats import parity
from serving.contract import Contract, ProbabilityOutput

EXPORTS = ("onnxruntime", "SavedModel (serving_default)", "SavedModel (features)", "gateway")
"""What parity.json tells of."""
_LEFT_OUT = re.compile(r"^- `(.+?)`: ", re.MULTILINE)


class _Export(msgspec.Struct, forbid_unknown_fields=True):
    """What parity.json says of one export."""

    export: str
    rows: int
    largest_difference: float
    labels_that_differ: int


class _Parity(msgspec.Struct, forbid_unknown_fields=True):
    """parity.json."""

    tolerance: float
    exports: tuple[_Export, ...]


def check(version: Path, contract: Contract) -> None:
    """Hold the contract's threshold, parity.json and card.md to each other and to the graph.

    Raises PublishError naming the file to blame.
    """
    _check_threshold(version, contract)
    _check_parity((version / "parity.json").read_bytes())
    _check_card((version / "card.md").read_text("utf-8", "replace"), contract)


def _check_threshold(version: Path, contract: Contract) -> None:
    """The contract's threshold is the very number that the graph compares with: no golden row may lie between them."""
    probabilities = [output for output in contract.outputs if isinstance(output, ProbabilityOutput)]
    said = {np.float32(output.threshold) for output in probabilities if output.threshold is not None}
    if not said:
        return
    graph = _thresholds((version / "model.onnx").read_bytes())
    if said != graph:
        raise PublishError(f"contract.json: the threshold is {_numbers(said)}, that of model.onnx {_numbers(graph)}")


def _thresholds(model: bytes) -> set[np.float32]:
    """The constant of an ONNX graph under that name, if it has one."""
    from onnx import load_model_from_string, numpy_helper

    try:
        constants = load_model_from_string(model).graph.initializer
        return {np.float32(numpy_helper.to_array(one)) for one in constants if one.name == "threshold"}
    except Exception as error:  # onnx and protobuf raise several types for what is no graph
        raise PublishError(f"model.onnx: {error}") from error


def _numbers(values: set[np.float32]) -> str:
    return ", ".join(map(str, sorted(values))) or "none"


def _check_parity(content: bytes) -> None:
    """parity.json tells of every export, each within a tolerance that is no wider than ours."""
    try:
        said = msgspec.json.decode(content, type=_Parity)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PublishError(f"parity.json: {error}") from error
    if not 0 < said.tolerance <= parity.TOLERANCE:
        raise PublishError(f"parity.json: tolerance {said.tolerance:g}, expected at most {parity.TOLERANCE:g}")
    names = sorted(one.export for one in said.exports)
    if names != sorted(EXPORTS):
        raise PublishError(f"parity.json: tells of {', '.join(names) or 'nothing'}, expected {', '.join(EXPORTS)}")
    for one in said.exports:
        if not 0 <= one.largest_difference <= said.tolerance:
            raise PublishError(
                f"parity.json: {one.export} differs by {one.largest_difference:g}, allowed {said.tolerance:g}"
            )
        if one.rows < 1 or not 0 <= one.labels_that_differ <= one.rows:
            raise PublishError(f"parity.json: {one.export}: {one.labels_that_differ} labels of {one.rows} rows differ")


def _check_card(card: str, contract: Contract) -> None:
    """The card names what the contract leaves out, nothing else as left out, and the data that was trained on."""
    named = _left_out_in(card)
    said = [item.name for item in contract.left_out]
    for name in said:
        if name not in named:
            raise PublishError(f"card.md: {name!r} is left out by the contract and not named under Left out")
    for name in named:
        if name not in said:
            raise PublishError(f"contract.json: card.md names {name!r} as left out, left_out does not")
    if contract.provenance.data_sha256 not in card:
        raise PublishError("card.md: does not name the data of the contract's provenance: its sha256 is missing")


def _left_out_in(card: str) -> list[str]:
    """Names under the card's heading Left out."""
    section = f"\n{card}".partition("\n## Left out\n")[2].partition("\n## ")[0]
    return _LEFT_OUT.findall(section)
