"""Random ModelInferRequests, raw and typed."""

import struct
from random import Random

from loadtest.listener.fuzzing import columns as raw
from loadtest.listener.fuzzing import ids, wire
from loadtest.listener.fuzzing.columns import Column
from serving.contract import Contract

INTEGERS = {"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I"}
FLOATS = {"FP32": "f", "FP64": "d"}
TYPED = {"BOOL": 1, "INT8": 2, "INT16": 2, "INT32": 2, "INT64": 3, "UINT8": 4, "UINT16": 4, "UINT32": 4, "UINT64": 5}
"""Datatype -> field of InferTensorContents; FP32, FP64 and BYTES have 6, 7 and 8."""
ODD_TYPES = ("BOOL", "FP16", "BF16", "UINT64", "", "fp32", "STRING", "FP64 ")


def request(random: Random, contract: Contract, odd: float) -> bytes:
    """One. odd: how often each thing is what no honest client sends."""
    n = raw.rows(random, odd)
    asked = _ready(random, contract, n, odd) if random.random() < 0.1 else None
    tensors = asked or [_tensor(random, column, n, odd) for column in raw.draw(random, contract, n, odd)]
    if random.random() < ids.SHARE:
        beside = tensors[:1] if random.random() < 0.1 else []
        tensors = [("entity_id", "BYTES", _shaped(random, [n], odd), ids.drawn(random, n, odd)), *beside]
    in_raw = random.random() < 0.6
    name = random.choice(("", "nobody", contract.model.upper())) if random.random() < odd / 4 else contract.model
    fields = [wire.data(1, name)]
    if random.random() < 0.2:
        fields.append(wire.data(2, "1" if random.random() > odd else random.choice(("2", "x", "-1", "01", "1" * 30))))
    if random.random() < 0.4:
        fields.append(wire.data(3, random.choice(("a", "call-7", "研", "i" * 200))))
    if random.random() < 0.05:
        level = wire.whole(4, random.randint(0, 3)) if random.random() < 0.8 else wire.data(3, "x")
        fields.append(wire.data(4, wire.data(1, random.choice(("priority", "other"))) + wire.data(2, level)))
    for name, kind, shape, values in tensors:
        inner = [wire.data(1, name), wire.data(2, kind), *wire.repeated(random, 3, "v", shape)]
        mixed = random.random() < odd / 4
        if not in_raw or mixed:
            inner.append(wire.data(5, b"".join(_contents(random, kind, values))))
        fields.append(wire.data(5, wire.joined(random, inner, odd / 4)))
        if in_raw and not mixed:
            fields.append(wire.data(7, _packed(kind, values)))
    if random.random() < 0.2:
        wanted = random.choices(_outputs(contract, odd), k=random.randint(1, 3))
        fields += [wire.data(6, wire.data(1, name)) for name in wanted]
    if in_raw and random.random() < odd / 4 and fields[-1][:1] == b"\x3a":
        fields.pop()
    return wire.joined(random, fields, odd / 4)


def _outputs(contract: Contract, odd: float) -> list[str]:
    """Names that may be asked for."""
    return [*contract.graph_outputs(), "margin", *(["coverage", "nobody"] if odd else [])]


def _tensor(random: Random, column: Column, n: int, odd: float) -> tuple[str, str, list[int], list[raw.Cell]]:
    values = list(column.cells)
    for cell in column.missing:
        values[cell] = "" if column.text else float("nan")
    kind = "BYTES" if column.text else random.choice(("FP32", "FP64", "FP64"))
    whole = not column.text and all(isinstance(value, float) and value == value // 1 for value in values)
    if whole and random.random() < 0.5:
        kind = random.choice(tuple(INTEGERS))
    if random.random() < odd / 8:
        kind = random.choice(ODD_TYPES)
    shape = [len(values)] if not column.months else [len(values) // column.months, column.months]
    return column.name, kind, _shaped(random, shape, odd), values


def _shaped(random: Random, shape: list[int], odd: float) -> list[int]:
    """The shape, or another that means the same, or one that means nothing."""
    if len(shape) == 1 and random.random() < 0.1:
        return [*shape, 1]
    if random.random() < odd / 8:
        return random.choice(([], [-1], [1, 1, 1, 1], [0], [2**62, 4], [-(2**63)], shape[::-1], [*shape, 2], [1 << 40]))
    return shape


def _ready(random: Random, contract: Contract, n: int, odd: float) -> list[tuple[str, str, list[int], list[raw.Cell]]]:
    made = []
    for tensor in contract.tensors:
        width = 1
        for size in tensor.shape:
            width *= size
        values: list[raw.Cell] = [random.uniform(-1, 3) for _ in range(n * width)]
        if values and random.random() < odd:
            values[random.randrange(len(values))] = random.choice(raw.EDGES)
        made.append((tensor.name, random.choice(("FP32", "FP32", "FP64")), [n, *tensor.shape], values))
    return made


def _contents(random: Random, kind: str, values: list[raw.Cell]) -> wire.Fields:
    if values and isinstance(values[0], str):
        return [wire.data(8, value) for value in values if isinstance(value, str)]
    numbers = [value for value in values if not isinstance(value, str)]
    if kind in FLOATS:
        return wire.repeated(random, 6 if kind == "FP32" else 7, FLOATS[kind], numbers)
    return wire.repeated(random, TYPED.get(kind, 7), "v" if kind in TYPED else "d", _whole(numbers))


def _whole(numbers: list[float]) -> list[int]:
    return [int(min(max(value, -(2.0**62)), 2.0**62)) if value == value else 0 for value in numbers]


def _packed(kind: str, values: list[raw.Cell]) -> bytes:
    """As raw contents."""
    if values and isinstance(values[0], str):
        texts = [str(value).encode("utf-8", "surrogateescape") for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    numbers = [value for value in values if not isinstance(value, str)]
    if kind in INTEGERS:
        bits = 8 * struct.calcsize(f"<{INTEGERS[kind]}")
        return b"".join(struct.pack("<Q", number & (1 << bits) - 1)[: bits // 8] for number in _whole(numbers))
    return b"".join(wire.floats(FLOATS.get(kind, "d"), [number]) for number in numbers)
