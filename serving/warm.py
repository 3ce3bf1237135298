"""Compiles all that serving runs compiled: at image build (`epm warm`) and at start, so that no call waits for it.

A kernel is compiled for the types of the arrays it is given. So what is called here is what serving calls, with tiny
inputs. Nothing breaks that is left out: the first call that needs it waits for seconds, and a test fails.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from serving.contract import (
    FORMAT,
    MASK,
    CategoryInput,
    ClassOutput,
    Contract,
    GraphInput,
    HistoryInput,
    NumberInput,
    Program,
    Provenance,
    Step,
    Text,
    TextInput,
)
from serving.errors import EpmError, SettingsError

log = logging.getLogger("epm.jit")


@dataclass(frozen=True)
class Warmed:
    """What it took: kernels compiled and read from disk, those of the compiled that could not be written; seconds."""

    compiled: int
    loaded: int
    unwritten: int
    seconds: float


def warm(
    progress: Callable[[str], None] = log.debug, store: bool = True, csv: bool = True, listener: bool = True
) -> Warmed:
    """Have everything compiled, one line of progress for each part.

    What the online store needs only with `store`, what reads and writes CSV, which no gateway does, only with `csv`,
    the compiled listener only with `listener`, and where its library is.
    """
    from serving.jit import counts

    compiled, loaded, unwritten, start = counts.compiled, counts.loaded, counts.unwritten, time.perf_counter()
    left_out = {"store": not store, "csv": not csv, "listener": not listener}
    for name, part in PARTS.items():
        if left_out.get(name):
            continue
        was, begin = (counts.compiled, counts.loaded), time.perf_counter()
        try:
            part()
        except SettingsError as error:
            progress(f"{name}: left out: {error.message}")
            continue
        seconds = time.perf_counter() - begin
        progress(f"{name}: {counts.compiled - was[0]} compiled, {counts.loaded - was[1]} loaded, {seconds:.1f} s")
    seconds = time.perf_counter() - start
    return Warmed(counts.compiled - compiled, counts.loaded - loaded, counts.unwritten - unwritten, seconds)


def command() -> int:
    """Compile all kernels and keep them in EPM_JIT_CACHE_DIR: at image build, so that the first start is quick."""
    from serving.jit import kernel_folder

    warmed = warm(lambda line: print(line, flush=True))
    folder = kernel_folder()
    if folder is None or warmed.unwritten:
        raise EpmError("the compiled kernels could not be kept: see above")
    print(f"{warmed.compiled} compiled, {warmed.loaded} loaded, {warmed.seconds:.1f} s: {folder.path}")
    return 0


def _contract() -> Contract:
    """A contract that no model has: an input of each kind, a step of each kind."""
    title = Text(en="", zh="")
    return Contract(
        format=FORMAT,
        model="warm",
        entity_type="employee",
        title=title,
        inputs=(
            NumberInput("number", title, ""),
            CategoryInput("category", title, ("a", "b")),
            TextInput("text", title),
            HistoryInput("monthly", title, ""),
        ),
        months=2,
        program=Program(
            steps=(Step("impute", "filled", ("monthly",), (0.0,)), Step("last", "newest", ("monthly",))),
            features=("number", "newest"),
            window=("filled", MASK),
        ),
        tensors=(GraphInput("features", (2,)), GraphInput("history", (2, 2))),
        outputs=(ClassOutput("class", title, ("a", "b")),),
        min_coverage=0.0,
        left_out=(),
        provenance=Provenance("", "", 0, "", "", 0, True, {}),
    )


def _features() -> None:
    from serving.features.program import compile_program
    from serving.features.rows import RowSchema

    contract = _contract()
    schema = RowSchema(contract)
    rows = schema.assemble({"number": [1.0, None], "text": ["a", "b"], "monthly": [[1.0], []]}, max_rows=2)
    inspection = schema.inspect(rows)
    inspection.count()
    schema.mark_stale(inspection, np.zeros(inspection.marks.shape, np.int64), 0)
    compile_program(contract).run(rows)


def _store() -> None:
    from serving.store.facts import FactsEvent, Months, Stamp
    from serving.store.fetched import FOUND, Fetched
    from serving.store.keys import HashKey
    from serving.store.reader import RecordReader
    from serving.store.records import decode, find_corrupt, merge
    from serving.store.replica import Replica

    key, replica, revisions = HashKey(bytes(16)), Replica(1 << 16), np.zeros(1, np.int64)
    keys = key.keys("employee", ["nobody"])
    said: list[dict[str, float | str | None]] = [{"number": 1.0, "text": "a", "gone": None}, {"number": 2.0}]
    months = {"monthly": Months(0, np.array([1.0, np.nan]))}
    record = None
    for sequence, facts in enumerate(said):
        record = merge(record, [FactsEvent("employee", "nobody", Stamp(0, sequence, "warm"), facts, months)])
    assert record is not None  # noqa: S101 (an event that is new changes something)
    decode(record)
    buffer, starts, ends = np.frombuffer(bytearray(record), np.uint8), np.zeros(1, np.int64), np.array([len(record)])
    state = np.full(1, FOUND, np.uint8)
    find_corrupt(buffer, starts, ends, state)
    replica.insert(keys, buffer, starts, ends, 1)
    replica.collect(keys, 1, unverified=False)
    replica.unverified(2, 0)
    replica.verify(keys, revisions, 2)
    replica.drop(keys)
    RecordReader(_contract()).read(Fetched(buffer, starts, ends, state, np.zeros(1, np.bool_)))


def _outputs() -> None:
    from serving.backends.output_kernels import all_finite
    from serving.kernels import top_margins

    all_finite(np.zeros(1, np.float32))
    top_margins(np.zeros((1, 2), np.float32), np.empty(1, np.float32))


def _cache() -> None:
    from serving.cache import cache_kernels
    from serving.cache.layout import OutputLayout
    from serving.cache.row_keys import RowKeys
    from serving.cache.table import Table
    from serving.hash_key import HashKey

    row_keys, table = RowKeys(HashKey(bytes(16)), "", ("features",)), Table(Table.bytes_for(1, 4), 4)
    rows = {"features": np.zeros((1, 1), np.float32)}
    keys, values = row_keys(rows), OutputLayout({"features": ("float32", (1,))}).pack(rows, 1)
    table.look_up(row_keys, rows, 1.0).fill(values)
    table.find(keys, 1.0)
    table.put(keys, values, np.full(1, 2.0), 1.0)
    table.drop(keys)
    table.clear()
    cache_kernels.checksums(keys.view(np.int64), values, row_keys.k0, row_keys.k1, np.empty(1, np.uint64))


def _forest() -> None:
    from serving.backends.forest_kernels import HEADER, answer

    nothing = np.empty((0, 1), np.float32)
    answer(nothing, np.zeros(HEADER, np.int32), nothing.copy(), np.empty(0, np.int32))


def _csv() -> None:
    import io

    from serving.csv_text.cell_kernels import POWERS
    from serving.csv_text.columns import Names, bounds, packed
    from serving.csv_text.records import RecordReader
    from serving.csv_text.write_kernels import shortest, write

    reader = RecordReader(io.BytesIO(b"number,name\n1,a\n"), "")
    reader.want(["number", "name"])
    records = reader.look(1)
    assert records is not None  # noqa: S101 (there is one)
    records.cells.numbers("number")
    records.cells.names("name", Names(["a"]), float)
    digits, places = np.empty((1, 1), np.int64), np.empty((1, 1), np.int8)
    shortest(np.ones((1, 1), np.float32), POWERS, digits, places, np.empty(1, np.int64))
    text, column = np.zeros((1, 1), np.int64), np.zeros(2, np.int64)
    kinds, room = np.array([True, False]), np.empty(64, np.uint8)
    write(kinds, column, digits, places, text, packed([b"a"]), bounds([b"a"]), room)


def _listener() -> None:
    """Raises SettingsError where libnghttp2 is not there, or too old."""
    from serving.listeners.h2 import ring_kernels as ring
    from serving.listeners.h2.flat import names_table
    from serving.listeners.h2.library import compile_loop
    from serving.listeners.h2.memory import Memory
    from serving.listeners.h2.rings import FromLoop, ToLoop

    compile_loop()
    names_table({b"name": 0}, Memory())
    ToLoop(4096).say(ring.TAKEN, 0, 0, 0, None, b"")
    from_loop = FromLoop(4096)
    rest_of_words = np.frombuffer(bytes(8 * (ring.RECORD - ring.REPLY)), np.uint8)
    ring.reply(from_loop.ring.address, ring.CALL, 0, 0, 0, 0, 0, rest_of_words)
    list(from_loop.records())


PARTS: dict[str, Callable[[], None]] = {
    "features": _features,
    "forest": _forest,
    "outputs": _outputs,
    "cache": _cache,
    "store": _store,
    "csv": _csv,
    "listener": _listener,
}
