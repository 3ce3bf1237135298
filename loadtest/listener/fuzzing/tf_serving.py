"""Random PredictRequests of TensorFlow Serving."""

import struct
from random import Random

from loadtest.listener.fuzzing import columns as raw
from loadtest.listener.fuzzing import ids, wire
from serving.contract import Contract

FLOATS = {1: ("f", 5), 2: ("d", 6)}
INTEGERS = {
    3: ("i", 7),
    4: ("B", 7),
    5: ("h", 7),
    6: ("b", 7),
    9: ("q", 10),
    17: ("H", 7),
    22: ("I", 16),
    23: ("Q", 17),
}
"""dtype -> how tensor_content has it, field of values."""
STRING = 7
ODD_TYPES = (0, 8, 10, 14, 19, 99)


def request(random: Random, contract: Contract, odd: float) -> bytes:
    """One. odd: how often each thing is what no honest client sends."""
    n = raw.rows(random, odd)
    spec = [wire.data(1, random.choice(("", "nobody")) if random.random() < odd / 4 else contract.model)]
    by_id = random.random() < ids.SHARE
    if by_id and random.random() < 0.5:
        spec.append(wire.data(3, "by_id"))
    elif random.random() < 0.4:
        signature = random.choice(("serving_default", "predict", "by_id", "x", ""))
        spec.append(wire.data(3, signature if random.random() < odd else "serving_default"))
    how = random.random()
    if how < 0.15:
        spec.append(wire.data(2, wire.whole(1, 1 if random.random() > odd else random.choice((0, 2, -1, 1 << 40)))))
    elif how < 0.16 + odd / 4:
        spec.append(wire.data(4, random.choice(("stable", "latest", ""))))
    fields = [wire.data(1, wire.joined(random, spec, odd / 4))]
    if by_id:
        fields.append(_entry(random, "entity_id", _tensor(random, ids.drawn(random, n, odd), [n], odd), odd))
    elif random.random() < 0.1:
        for tensor in contract.tensors:
            width = 1
            for size in tensor.shape:
                width *= size
            values: list[raw.Cell] = [random.uniform(-1, 3) for _ in range(n * width)]
            fields.append(_entry(random, tensor.name, _tensor(random, values, [n, *tensor.shape], odd), odd))
    else:
        for column in raw.draw(random, contract, n, odd):
            values = list(column.cells)
            for cell in column.missing:
                values[cell] = "" if column.text else float("nan")
            shape = [len(values) // column.months, column.months] if column.months else [len(values)]
            fields.append(_entry(random, column.name, _tensor(random, values, shape, odd), odd))
    if random.random() < 0.2:
        names = [*contract.graph_outputs(), "margin", *(["nobody"] if odd else [])]
        fields += [wire.data(3, wanted) for wanted in random.choices(names, k=random.randint(1, 3))]
    return wire.joined(random, fields, odd / 4)


def _entry(random: Random, name: str, tensor: bytes, odd: float) -> bytes:
    """One of a map."""
    return wire.data(2, wire.joined(random, [wire.data(1, name), wire.data(2, tensor)], odd / 8))


def _tensor(random: Random, values: list[raw.Cell], shape: list[int], odd: float) -> bytes:
    numbers = [value for value in values if not isinstance(value, str)]
    text = len(numbers) < len(values)
    kind = STRING if text else random.choice((1, 1, 2))
    if not text and all(value == value // 1 for value in numbers) and random.random() < 0.5:
        kind = random.choice(tuple(INTEGERS))
    if random.random() < odd / 8:
        kind = random.choice((*ODD_TYPES, 1, STRING))
    if len(shape) == 1 and random.random() < 0.1:
        shape = [*shape, 1]
    elif random.random() < odd / 8:
        shape = random.choice(([], [-1], [0], [1 << 62, 4], shape[::-1], [*shape, 2]))
    dims = [wire.data(2, wire.whole(1, size)) for size in shape]
    if random.random() < odd / 8:
        dims.append(wire.whole(3, 1))
    fields = [wire.whole(1, kind), wire.data(2, b"".join(dims))]
    if text:
        fields += [wire.data(8, str(value)) for value in values]
    else:
        fields += _numbers(random, kind, numbers)
    return wire.joined(random, fields, odd / 8)


def _numbers(random: Random, kind: int, numbers: list[float]) -> wire.Fields:
    form, field = FLOATS.get(kind) or INTEGERS.get(kind) or ("d", 6)
    floating = form in "fd"
    found = numbers if floating else [_whole(value) for value in numbers]
    if random.random() < 0.4:
        if floating:
            return [wire.data(4, wire.floats(form, found))]
        size = struct.calcsize(f"<{form}")
        return [wire.data(4, b"".join(struct.pack("<Q", int(value) & (1 << 64) - 1)[:size] for value in found))]
    while len(found) > 1 and found[-1] == found[-2] and random.random() < 0.5:
        found = found[:-1]  # TensorFlow leaves out repetitions of the last value
    return wire.repeated(random, field, form if floating else "v", found)


def _whole(value: float) -> int:
    return int(min(max(value, -(2.0**62)), 2.0**62)) if value == value else 0
