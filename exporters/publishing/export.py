"""From a trained model to the files of a version, each of them held to the trained model."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporters.data.table import Cells
from exporters.errors import ParityError
from exporters.formats import golden, onnx_graph, parity, saved_model
from exporters.formats.parity import Agreement, Answers
from exporters.formats.perturb import perturbed
from exporters.fresh_process import FreshProcess
from exporters.models.blend import Blend
from exporters.models.calibrated import CalibratedForest
from exporters.models.inputs import graph_inputs, raw_rows
from exporters.models.made import Made, Tensors
from exporters.progress import say
from exporters.publishing import gate
from serving.contract import Contract, ProbabilityOutput
from serving.features.program import Features, compile_program, run_reference


@dataclass(frozen=True)
class Exported:
    """Exports that passed the gate. files: path relative to the version -> bytes."""

    files: dict[str, bytes]
    agreements: list[Agreement]


def export(made: Made, seed: int, rows: int = parity.ROWS) -> Exported:
    """Write ONNX, SavedModel, contract and golden rows. Raises ParityError when anything answers otherwise.

    rows: how many perturbed held-out rows trained model, ONNX, both signatures of the SavedModel and the gateway have
    to agree on.
    """
    contract, model = made.contract, made.trained.exportable()
    _check_threshold(contract, model)
    columns = perturbed(contract, made.held_out.columns, rows, seed)
    raw = raw_rows(contract, columns)
    features = compile_program(contract).run(raw)
    inputs = graph_inputs(contract, features)
    parity.check_features(inputs, graph_inputs(contract, run_reference(contract, raw)), contract)
    expected = Answers("trained model", made.trained.answers(inputs))
    graph = onnx_graph.write(model, contract.model)
    agreements = parity.check_answers(contract, expected, [parity.onnx_answers(graph, inputs)], inputs)
    say(f"ONNX, {len(graph) // 1024} KiB: {_agreement(agreements[0])}; SavedModel by a process of its own")
    saved, by_tensorflow = _saved_model(model, contract, inputs)
    agreements += parity.check_answers(contract, expected, by_tensorflow, inputs)
    files = {
        "model.onnx": graph,
        **saved,
        "contract.json": contract.to_json(),
        "golden.npz": _golden(columns, features, expected),
    }
    by_gateway = gate.gateway_answers(contract, files, columns)
    agreements += parity.check_answers(contract, expected, [by_gateway], inputs)
    for agreement in agreements[1:]:
        say(f"{agreement.name}: {_agreement(agreement)}")
    return Exported(files, agreements)


def _saved_model(
    model: CalibratedForest | Blend, contract: Contract, inputs: Tensors
) -> tuple[dict[str, bytes], list[Answers]]:
    """Its files, and what both of its signatures answer."""
    with tempfile.TemporaryDirectory() as temporary, FreshProcess() as process:
        folder = Path(temporary) / "saved_model"
        answers = process.call(saved_model.write_and_answer, model, contract.program, folder, inputs)
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files, answers


def _golden(columns: dict[str, Cells], made: Features, expected: Answers) -> bytes:
    first = slice(0, golden.ROWS)
    return golden.to_bytes(
        golden.arrays(
            {name: cells[first] for name, cells in columns.items()},
            Features(*(values[first] for values in made)),
            {name: values[first] for name, values in expected.outputs.items()},
        )
    )


def _check_threshold(contract: Contract, model: CalibratedForest | Blend) -> None:
    """The contract's threshold is the very number that the graph compares with."""
    said = {output.threshold for output in contract.outputs if isinstance(output, ProbabilityOutput)} - {None}
    graph = {float(np.float32(model.threshold))} if isinstance(model, Blend) else set()
    if said != graph:
        raise ParityError(f"contract: thresholds {sorted(map(str, said))}, the graph has {sorted(map(str, graph))}")


def _agreement(agreement: Agreement) -> str:
    return f"{agreement.rows} rows agree, largest difference {agreement.difference:.1e}"
