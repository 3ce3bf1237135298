"""What a data scientist would write: features out of a Parquet file, onnxruntime in a loop, answers into another.

Run as a program of its own: MODEL FEATURES OUT ROWS_A_CALL. The features are ready: it computes none.
"""

import sys

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq


def main(model: str, features: str, out: str, rows: int) -> None:
    """Score the file, `rows` a call, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    writer = None
    with pq.ParquetFile(features) as file:
        names = [name for name in file.schema_arrow.names if name != "employee"]
        for batch in file.iter_batches(rows, use_threads=False):
            matrix = np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in names])
            label, probabilities = session.run(["label", "probabilities"], {given.name: matrix})
            columns = {f"p{place}": probabilities[:, place].copy() for place in range(probabilities.shape[1])}
            table = pa.table({"employee": batch.column("employee"), "label": label, **columns})
            writer = writer or pq.ParquetWriter(out, table.schema)
            writer.write_table(table)
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
