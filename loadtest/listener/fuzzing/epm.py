"""Random PredictRequests of epm.v1."""

from random import Random

from loadtest.listener.fuzzing import columns as raw
from loadtest.listener.fuzzing import ids, wire
from loadtest.listener.fuzzing.columns import Column
from serving.contract import Contract


def request(random: Random, contract: Contract, odd: float) -> bytes:
    """One. odd: how often each thing is what no honest client sends."""
    n = raw.rows(random, odd)
    model = [wire.data(1, random.choice(("", "nobody")) if random.random() < odd / 4 else contract.model)]
    how = random.random()
    if how < 0.15:
        model.append(wire.whole(2, 1 if random.random() > odd else random.choice((0, 2, -1, 1 << 62))))
    elif how < 0.16 + odd / 4:
        model.append(wire.data(3, random.choice(("stable", "latest", ""))))
    fields = [wire.data(2, wire.joined(random, model, odd / 4))]
    if random.random() < 0.5:
        fields.insert(0, wire.data(1, random.choice(("a", "call-7", "研", "i" * 200))))
    if random.random() < ids.SHARE:
        fields.append(_entities(random, contract, n, odd))
    elif odd and random.random() < odd / 4:  # by name only, as other protocols do it
        fields.append(wire.data(3, _column(random, Column("entity_id", ids.drawn(random, n, odd), []), odd)))
    elif random.random() < 0.1:
        for tensor in contract.tensors:
            width = 1
            for size in tensor.shape:
                width *= size
            shape = [n, *tensor.shape] if random.random() > odd / 4 else [n, width, 1]
            values = [random.uniform(-1, 3) for _ in range(n * width)]
            inner = [wire.data(1, tensor.name), *wire.repeated(random, 2, "v", shape)]
            fields.append(wire.data(5, b"".join([*inner, *wire.repeated(random, 3, "f", values)])))
    else:
        fields += [wire.data(3, _column(random, column, odd)) for column in raw.draw(random, contract, n, odd)]
    if random.random() < odd / 8:
        fields.append(_entities(random, contract, n, odd))
    return wire.joined(random, fields, odd / 4)


def _entities(random: Random, contract: Contract, n: int, odd: float) -> bytes:
    kind = random.choice(("", "team")) if random.random() < odd / 4 else contract.entity_type
    inner = [wire.data(1, kind), *(wire.data(2, str(one)) for one in ids.drawn(random, n, odd))]
    if random.random() < 0.2:
        inner.append(wire.whole(3, random.choice((0, 0, 202601, 202513))))
    return wire.data(4, wire.joined(random, inner, odd / 4))


def _column(random: Random, column: Column, odd: float) -> bytes:
    fields = [wire.data(1, column.name), *_values(random, column)]
    if random.random() < odd / 8:
        fields += _values(random, Column("", [1.0], []))  # the last kind of values is the one that counts
    given = [cell not in column.missing for cell in range(len(column.cells))]
    if column.missing or random.random() < 0.1:
        bits = sum(here << cell for cell, here in enumerate(given))
        size = (len(given) + 7) // 8 + (random.choice((-1, 1)) if random.random() < odd / 8 else 0)
        bitmap = (bits & (1 << 8 * max(0, size)) - 1).to_bytes(max(0, size), "little")
        if bitmap and random.random() < 0.1:
            bitmap = bitmap[:-1] + bytes((bitmap[-1] | 0x80,))  # a bit behind the last cell, maybe
        fields.append(wire.data(6, bitmap))
    return wire.joined(random, fields, odd / 4)


def _values(random: Random, column: Column) -> wire.Fields:
    if column.text:
        return [wire.data(4, b"".join(wire.data(1, str(cell)) for cell in column.cells))]
    numbers = [cell for cell in column.cells if not isinstance(cell, str)]
    if column.months:
        inner = [wire.whole(1, column.months), *wire.repeated(random, 2, "d", numbers)]
        if column.lengths is not None:
            inner += wire.repeated(random, 3, "v", column.lengths)
        return [wire.data(5, b"".join(inner))]
    whole = all(abs(number) < 2**53 and number == number // 1 for number in numbers)
    if whole and random.random() < 0.5:
        return [wire.data(3, b"".join(wire.repeated(random, 1, "v", [int(number) for number in numbers])))]
    return [wire.data(2, b"".join(wire.repeated(random, 1, "d", numbers)))]
