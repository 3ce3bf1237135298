"""A version that is served, as flat arrays for the loops (`model_kernels`)."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.backends.forest import ForestBackend
from serving.cache.table import Table as Kept
from serving.contract import (
    HISTORIES,
    LENGTHS,
    CategoryInput,
    ClassOutput,
    DateInput,
    HistoryInput,
    NumberInput,
    ProbabilityOutput,
    RawInput,
    ScalarOutput,
    TextInput,
    VectorOutput,
)
from serving.inference import Inference
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.memory import Memory
from serving.listeners.h2.rows_kernels import (
    NAME,
    NAME_ADDRESS,
    NAME_FIRST,
    NAME_LAST,
    NAME_NUMBER,
    NAME_SIZE,
    name_key,
)
from serving.protocols import by_id
from serving.protocols.answers import answer_specs
from serving.repository.served import ServedModel

MOST_ROWS = 256
"""Rows of a call that a loop answers itself; what has more goes to worker threads."""
_serials = itertools.count(1)
_KINDS: dict[type[RawInput], int] = {
    NumberInput: of.A_NUMBER,
    CategoryInput: of.A_CATEGORY,
    TextInput: of.A_TEXT,
    DateInput: of.A_DATE,
    HistoryInput: of.A_HISTORY,
}
_WARNINGS = ("missing", "unknown_category", "out_of_training_range", "stale")


@dataclass(frozen=True, repr=False, eq=False)
class Flat:
    """One version as int64[MODEL], with the arrays that its addresses are of."""

    served: ServedModel
    words: NDArray[np.int64]
    counts: NDArray[np.int64]
    """[loops, cells] (`count_kernels`)."""
    memory: Memory
    kept: Kept | None = None
    """Where predictions are kept."""
    sizes: Mapping[int, int] = field(default_factory=dict)
    """Bytes that it needs of a loop's memory, by array (`table_kernels`)."""

    @property
    def serial(self) -> int:
        """Its number."""
        return int(self.words[of.SERIAL])


class NotFlat(Exception):
    """A version that loops cannot answer: Python does."""


def flatten(served: ServedModel, inference: Inference, loops: int, store: bool = False) -> Flat:
    """One version for so many loops. store: whether there is one, which has facts of entities."""
    memory, words = Memory(), np.zeros(of.MODEL, np.int64)
    cells = count.AT_STATES + 4 * len(served.contract.inputs)
    counts = memory.array(np.zeros((loops, cells), np.int64))
    words[of.NAME], words[of.NAME_SIZE] = memory.text(served.name.encode())
    words[of.VERSION] = served.version
    words[of.VERSION_TEXT], words[of.VERSION_TEXT_SIZE] = memory.text(str(served.version).encode())
    words[of.SERIAL] = next(_serials)
    words[of.COUNTS], words[of.COUNTS_OF_A_LOOP] = counts.ctypes.data, cells
    memory.array(words)
    kept = None if inference.cache is None else inference.cache.table
    flat = Flat(served, words, counts, memory, kept)
    try:
        offsets = _offsets(served)
        _rows(served, words, memory, store)
        _answers(served, words, memory, offsets)
        words[of.HOW] = _how(served, inference, words, memory, offsets)
        _kept(served, inference, words, memory)
    except NotFlat:
        words[of.HOW] = of.LEFT
        return flat
    return Flat(served, words, counts, memory, kept, {**_sizes(words), **(_sizes_of_ids(words) if store else {})})


def _offsets(served: ServedModel) -> dict[str, tuple[int, int, str]]:
    """Where each output stands in the words of a row, how many it has, its type."""
    found, at = {}, 0
    for name, (kind, shape) in served.contract.graph_outputs().items():
        if kind not in ("float32", "int32") or len(shape) > 1:
            raise NotFlat
        found[name] = (at, prod(shape), kind)
        at += prod(shape)
    return found


def _rows(served: ServedModel, words: NDArray[np.int64], memory: Memory, store: bool) -> None:
    """What makes rows and features of a request."""
    contract, schema = served.contract, served.schema
    single, histories = list(schema.columns), list(schema.histories.names)
    words[of.INPUTS], words[of.SINGLE], words[of.HISTORIES] = len(contract.inputs), len(single), len(histories)
    words[of.MONTHS] = contract.months
    words[of.FEATURES] = len(contract.program.features)
    words[of.WINDOW] = contract.months * len(contract.program.window)
    order, facts = schema.order.astype(np.int64), np.ascontiguousarray(schema.facts, np.float64)
    words[of.ORDER], words[of.FACTS] = memory.address(order), memory.address(facts)
    words[of.LEAST_COVERAGE] = np.float64(schema.min_coverage).view(np.int64)
    words[of.PROGRAM], words[of.PROGRAM_SIZE] = memory.address(served.program.program), len(served.program.program)
    by_name = {raw.name: raw for raw in contract.inputs}
    sent: dict[str, list[int]] = {}
    for place, name in enumerate(single):
        raw, table, unknown = by_name[name], (0, 0), 0
        if isinstance(raw, CategoryInput):
            table = names_table({text.encode(): code for code, text in enumerate(raw.categories)}, memory)
            unknown = len(raw.categories)
        sent[name] = [_KINDS[type(raw)], place, *table, unknown, 0]
    for place, name in enumerate(histories):
        sent[name] = [of.A_HISTORY, place, 0, 0, 0, 0]
    if histories:
        sent[HISTORIES], sent[LENGTHS] = [of.ALL_HISTORIES, 0, 0, 0, 0, 0], [of.LENGTHS, 0, 0, 0, 0, 0]
    ready = {served.features_input: of.READY_FEATURES, served.window_input: of.READY_WINDOW}
    for name in served.graph_inputs:
        sent[name] = [of.ELSE if name in by_name else ready.get(name, of.ELSE), 0, 0, 0, 0, 0]
    words[of.IDS_NUMBER] = -1
    if store:
        if by_id.offered(served):
            words[of.IDS_NUMBER] = len(sent)
            sent[by_id.ENTITY_ID] = [of.IDS, 0, 0, 0, 0, 0]
        _stored(served, words, memory)
    words[of.READY_COUNT] = len(served.graph_inputs)
    words[of.ALL_HISTORIES_NUMBER] = list(sent).index(HISTORIES) if HISTORIES in sent else 0
    allowed = [served.missing_allowed.get(name or "", False) for name in (served.features_input, served.window_input)]
    words[of.MISSING_ALLOWED] = allowed[0] | allowed[1] << 1
    names = [name.encode() for name in sent]
    words[of.NAMES], words[of.NAMES_MASK] = names_table({name: number for number, name in enumerate(names)}, memory)
    words[of.SENT], words[of.SENT_COUNT] = memory.address(np.array(list(sent.values()), np.int64)), len(sent)
    words[of.SENT_NAMES] = memory.texts(names)


def _stored(served: ServedModel, words: NDArray[np.int64], memory: Memory) -> None:
    """What makes rows of records."""
    kind, (names, inputs, histories, categories) = served.contract.entity_type.encode() + b"\0", served.reader.arrays
    words[of.ENTITY], words[of.ENTITY_SIZE] = memory.text(kind)
    words[of.READER_NAMES], words[of.READER_NAMES_SIZE] = memory.address(names), len(names)
    words[of.READER_INPUTS], words[of.READER_HISTORIES] = memory.address(inputs), memory.address(histories)
    words[of.READER_CATEGORIES], words[of.READER_CATEGORY_COUNT] = memory.address(categories), len(categories)
    words[of.MAX_AGE] = memory.address(np.ascontiguousarray(served.schema.max_age, np.float64))
    words[of.STALE_IS_ERROR] = memory.address(np.ascontiguousarray(served.schema.stale_is_error, np.bool_))


def _kept(served: ServedModel, inference: Inference, words: NDArray[np.int64], memory: Memory) -> None:
    """Where predictions are kept, if they are."""
    if inference.cache is None:
        return
    row_keys, (slots, clock) = inference.row_keys, inference.cache.table.arrays
    words[of.KEPT_SLOTS], words[of.KEPT_CLOCK] = memory.address(slots), memory.address(clock)
    words[of.KEPT_COUNT], words[of.KEPT_WORDS] = slots.shape
    words[of.KEPT_K0 : of.KEPT_K1 + 1] = np.array([row_keys.k0, row_keys.k1], np.uint64).view(np.int64)
    words[of.WINDOW_FIRST] = row_keys.names[0] == served.window_input


def names_table(numbers: Mapping[bytes, int], memory: Memory) -> tuple[int, int]:
    """Address and mask of a hash table of names (`model_kernels.NAMES`)."""
    slots = 4
    while slots < 2 * len(numbers):
        slots *= 2
    rows = np.full((slots, NAME), -1, np.int64)
    for name, number in numbers.items():
        value, first, last = name_key(np.frombuffer(bytearray(name), np.uint8), 0, len(name))
        slot = value & (slots - 1)
        while rows[slot, NAME_SIZE] >= 0:
            slot = (slot + 1) & (slots - 1)
        rows[slot, [NAME_FIRST, NAME_LAST, NAME_SIZE]] = first, last, len(name)
        rows[slot, [NAME_NUMBER, NAME_ADDRESS]] = number, memory.text(name)[0]
    return memory.address(rows), slots - 1


def _answers(
    served: ServedModel, words: NDArray[np.int64], memory: Memory, offsets: Mapping[str, tuple[int, int, str]]
) -> None:
    """What writes answers."""
    contract, decision = served.contract, served.decision
    words[of.WIDTH] = sum(many for _, many, _ in offsets.values())
    words[of.DECIDES] = of.NOTHING
    if isinstance(decision, ClassOutput):
        at, many, _ = offsets[decision.probabilities]
        words[of.DECIDES], words[of.DECIDING], words[of.DECIDED] = of.CLASSES, at, many
        words[of.CLASS_NAMES], words[of.CLASS_COUNT] = memory.texts(served.class_names), len(served.class_names)
    elif decision is not None and served.threshold is not None:
        words[of.DECIDES], words[of.DECIDING], words[of.DECIDED] = of.A_THRESHOLD, offsets[decision.tensor][0], 1
        words[of.THRESHOLD] = served.threshold.view(np.int32)
    rows = []
    for spec in answer_specs(contract):
        name = memory.text(spec.name.encode())
        if spec.name in offsets:
            at, many, kind = offsets[spec.name]
            shape = contract.graph_outputs()[spec.name][1]
            rows.append([*name, of.FLOATS if kind == "float32" else of.INTS, at, many if shape else 0])
        elif isinstance(decision, ClassOutput) and spec.name == decision.name:
            rows.append([*name, of.CLASS_NAME, offsets[decision.label][0], 0])
        else:
            kinds = {"margin": of.MARGIN, "coverage": of.COVERAGE, "warnings": of.WARNINGS}
            rows.append([*name, kinds[spec.name], 0, 0])
    names = [spec.name for spec in answer_specs(contract)]
    if len(rows) > to.MOST_WANTED or len(set(names)) < len(names):
        raise NotFlat
    words[of.OUTPUTS] = memory.address(np.array([row + [0] * (of.OUTPUT - len(row)) for row in rows], np.int64))
    words[of.OUTPUT_COUNT] = len(rows)
    # of two names of which one begins with the other, protobuf writes the longer one first
    words[of.SORTED] = memory.address(
        np.array(sorted(range(len(names)), key=lambda number: names[number].encode() + b"\xff"), np.int64)
    )
    columns = [raw.name.encode() for raw in contract.inputs]
    warned = [b"low_coverage", *(f"{state}:{raw.name}".encode() for raw in contract.inputs for state in _WARNINGS)]
    words[of.WARNED], words[of.COLUMN_NAMES] = memory.texts(warned), memory.texts(columns)
    parts = [_part(output, memory, offsets) for output in contract.outputs]
    words[of.PARTS], words[of.PART_COUNT] = memory.address(np.array(parts, np.int64)), len(parts)
    texts = sum(len(name.encode()) for name in names) + sum(len(part) for part in _texts(contract.outputs))
    fixed = 2048 + len(served.name.encode()) + 2 * texts + 128 * (len(rows) + len(parts)) + sum(map(len, columns)) * 8
    words[of.ROOM] = fixed + 64 * len(columns) * 4
    widest = max((len(name) for name in served.class_names), default=0)
    words[of.ROOM_OF_A_ROW] = (
        128 + 24 * words[of.WIDTH] + widest + sum(len(text) + 1 for text in warned) + 12 * len(columns)
    )


def _texts(outputs: Iterable[Any]) -> list[bytes]:
    """Encoded names of classes, or of the values of vectors, of all outputs."""
    return [_fields(_names(output)) for output in outputs]


def _names(output: Any) -> Sequence[str]:
    if isinstance(output, ClassOutput):
        return output.classes
    return output.names if isinstance(output, VectorOutput) else ()


def _fields(names: Iterable[str]) -> bytes:
    """Texts as fields 1 of a message, one after the other."""
    parts = []
    for text in (name.encode() for name in names):
        size, varint = len(text), b""
        while size > 127:
            varint += bytes((size & 127 | 128,))
            size >>= 7
        parts.append(b"\x0a" + varint + bytes((size,)) + text)
    return b"".join(parts)


def _part(output: Any, memory: Memory, offsets: Mapping[str, tuple[int, int, str]]) -> list[int]:
    """int64[PART]. Raises NotFlat for what is left to Python."""
    row = [0] * of.PART
    row[of.PART_NAME], row[of.PART_NAME_SIZE] = memory.text(output.name.encode())
    row[of.PART_LABEL] = -1
    row[of.PART_TEXTS], row[of.PART_TEXTS_SIZE] = memory.text(_fields(_names(output)))
    if isinstance(output, ClassOutput):
        row[of.PART_KIND], tensor = of.PART_CLASSES, output.probabilities
        row[of.PART_LABEL] = offsets[output.label][0]
    elif isinstance(output, ProbabilityOutput):
        row[of.PART_KIND], tensor = of.PART_PROBABILITY, output.tensor
        if output.threshold is not None:
            row[of.PART_LABEL] = offsets[output.label][0]
            row[of.PART_THRESHOLD] = int(np.float32(output.threshold).view(np.int32))
    elif isinstance(output, ScalarOutput):
        row[of.PART_KIND], tensor = of.PART_SCALAR, output.tensor
    elif isinstance(output, VectorOutput):
        row[of.PART_KIND], tensor = of.PART_VECTOR, output.tensor
    else:
        raise NotFlat
    row[of.PART_AT], row[of.PART_VALUES] = offsets[tensor][:2]
    return row


def _how(
    served: ServedModel,
    inference: Inference,
    words: NDArray[np.int64],
    memory: Memory,
    offsets: Mapping[str, tuple[int, int, str]],
) -> int:
    """Whether loops compute the model, or Python does it for many calls at a time."""
    forest = served.backends[0] if served.backends else None
    plain = isinstance(forest, ForestBackend) and inference.plain
    if not plain or not isinstance(forest, ForestBackend) or forest.reads != served.features_input:
        return of.FEATURED
    trees = np.ascontiguousarray(forest.model, np.int32)
    words[of.TREES], words[of.TREES_SIZE], words[of.TARGETS] = memory.address(trees), len(trees), forest.targets
    words[of.SCORES] = offsets[forest.scores][0] if forest.scores else -1
    words[of.LABEL] = offsets[forest.label][0] if forest.label else -1
    return of.FOREST


def _sizes(words: NDArray[np.int64]) -> dict[int, int]:
    """Bytes of a loop's memory for MOST_ROWS rows."""
    n = MOST_ROWS
    histories = int(words[of.HISTORIES] * words[of.MONTHS])
    return {
        held.TAKEN: int(words[of.SENT_COUNT]),
        held.VALUES: 8 * n * int(words[of.SINGLE]),
        held.HISTORY: 8 * n * histories,
        held.MONTHLY: 8 * n * histories,
        held.FEATURES: 4 * n * int(words[of.FEATURES]),
        held.WINDOW: 4 * n * int(words[of.WINDOW]),
        held.ROW: 4 * int(words[of.FEATURES] + words[of.WINDOW]),
        held.SCORES: 4 * n * int(words[of.TARGETS]),
        held.OUTPUTS: 4 * n * int(words[of.WIDTH]),
        held.MARKS: n * int(words[of.INPUTS]),
        held.ANSWER: int(words[of.ROOM] + n * words[of.ROOM_OF_A_ROW]) + 65536,
    }


def _sizes_of_ids(words: NDArray[np.int64]) -> dict[int, int]:
    """More of it, where rows come from the store."""
    n, inputs = MOST_ROWS, int(words[of.INPUTS])
    return {
        held.KEYS: 16 * n,
        held.RECORDS: 8 * held.RECORD_WORDS,
        held.PLACES: 16 * n,
        held.STATE: n,
        held.AS_OF: 8 * n * inputs,
        held.READ: n,
        held.READ_WHERE: 4 * n,
        held.REPLACED: inputs,
        held.OLDEST: 8 * inputs,
        held.TEXT: held.MOST_TEXT,
    }
