"""The straightforward way from the raw file: Python's csv module, our features, onnxruntime, csv again.

Run as a program of its own: VERSION_FOLDER ROWS OUT ROWS_A_CALL. It checks less and says less than `epm score`.
"""

import csv
import sys
from itertools import islice
from pathlib import Path

import onnxruntime as ort

from serving.contract import CategoryInput, Contract
from serving.features.program import compile_program
from serving.features.rows import RowSchema


def main(folder: str, rows: str, out: str, size: int) -> None:
    """Score the file, `size` rows a call, on one thread."""
    contract = Contract.load(Path(folder) / "contract.json")
    program, schema = compile_program(contract), RowSchema(contract)
    names = {raw.name for raw in contract.inputs if isinstance(raw, CategoryInput)}
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(Path(folder) / "model.onnx"), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    with open(rows, newline="", encoding="utf-8") as read, open(out, "w", newline="", encoding="utf-8") as written:
        reader, writer = csv.reader(read), csv.writer(written)
        header, first = next(reader), True
        while lines := list(islice(reader, size)):
            columns = dict(zip(header, zip(*lines, strict=True), strict=True))
            ids = columns.pop("employee")
            cells = {
                name: list(column) if name in names else [float(cell) if cell else None for cell in column]
                for name, column in columns.items()
            }
            features = program.run(schema.assemble(cells, len(lines))).features
            label, probabilities = session.run(["label", "probabilities"], {given.name: features})
            if first:
                writer.writerow(["employee", "label", *(f"p{place}" for place in range(probabilities.shape[1]))])
                first = False
            writer.writerows([*row] for row in zip(ids, label, *probabilities.T, strict=True))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
