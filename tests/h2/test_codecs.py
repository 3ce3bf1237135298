"""The compiled readers agree with protobuf and the Python path, and read nothing outside of what came."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.listeners.h2 import rows_kernels, values_kernels, wire_kernels
from serving.listeners.h2.flat import names_table
from serving.listeners.h2.memory import Memory
from tests.h2.requests import MESSAGES, agree, field, read, shuffled, values_field, varint

pytestmark = pytest.mark.unit

NAMES = ["", "hours", "département", "研发", "x" * 130]
# type -> (datatype of KServe, its field of contents and how it is encoded, dtype of TF, its field and how)
TYPES: dict[str, tuple[str, int, str, int, int, str]] = {
    "f4": ("FP32", 6, "f", 1, 5, "f"),
    "f8": ("FP64", 7, "d", 2, 6, "d"),
    "i1": ("INT8", 2, "v", 6, 7, "v"),
    "i2": ("INT16", 2, "v", 5, 7, "v"),
    "i4": ("INT32", 2, "v", 3, 7, "v"),
    "i8": ("INT64", 3, "v", 9, 10, "v"),
    "u1": ("UINT8", 4, "v", 4, 7, "v"),
    "u2": ("UINT16", 4, "v", 17, 7, "v"),
    "u4": ("UINT32", 4, "v", 22, 16, "v"),
    "u8": ("UINT64", 5, "v", 23, 17, "v"),
    "?": ("BOOL", 1, "v", 10, 11, "v"),
    "text": ("BYTES", 8, "text", 7, 8, "text"),
}
TEXTS = ["", "sales", "研发", "é" * 70, "x" * 200, "\U0001f600"]


def some_cells(kind: str, count: int, draw: random.Random) -> list[Any]:
    """Cells of a type; of whole numbers also its least and its largest."""
    if kind == "text":
        return [draw.choice(TEXTS).encode() for _ in range(count)]
    if kind in ("f4", "f8"):
        return [draw.choice([0.0, -1.5, 1e30, float("inf"), float("nan"), draw.random()]) for _ in range(count)]
    if kind == "?":
        return [draw.choice([0, 1]) for _ in range(count)]
    limits = np.iinfo(kind)
    return [draw.choice([0, 1, 127, int(limits.min), int(limits.max)]) for _ in range(count)]


def some_shape(kind: str, draw: random.Random) -> list[int]:
    if kind == "text":
        return draw.choice([[1], [3], [2, 1]])
    return draw.choice([[1], [1], [3], [64], [2, 1], [3, 5], [2, 3, 2], [300]])


def kserve_request(draw: random.Random) -> bytes:
    raw, groups = draw.random() < 0.5, []
    inputs, contents = [], []
    for number in range(draw.randint(0, 5)):
        kind = draw.choice([*TYPES])
        datatype, at, how, *_ = TYPES[kind]
        shape = some_shape(kind, draw)
        cells = some_cells(kind, int(np.prod(shape)), draw)
        parts = [[field(1, f"{draw.choice(NAMES)}{number}")], [field(2, datatype)], values_field(3, "v", shape, draw)]
        if raw:
            contents.append(field(7, kserve_raw(kind, cells)))
        else:
            parts.append([field(5, b"".join(values_field(at, how, cells, draw)))])
        inputs.append(field(5, shuffled(parts, draw)))
    groups = [inputs, contents, [field(6, field(1, name)) for name in draw.sample(NAMES[1:], draw.randint(0, 3))]]
    for number, texts in ((1, ["small"]), (2, ["", "3", "000000000000000017"]), (3, ["", "id", "i" * 140])):
        if draw.random() < 0.8:
            groups.append([field(number, draw.choice(texts))])
    return shuffled(groups, draw)


def kserve_raw(kind: str, cells: list[Any]) -> bytes:
    if kind == "text":
        return b"".join(len(cell).to_bytes(4, "little") + cell for cell in cells)
    return np.array(cells, kind).tobytes()


def tf_request(draw: random.Random) -> bytes:
    inputs = []
    for number in range(draw.randint(0, 5)):
        kind = draw.choice([*TYPES])
        *_, dtype, at, how = TYPES[kind]
        shape = some_shape(kind, draw)
        cells = some_cells(kind, int(np.prod(shape)), draw)
        dims = b"".join(field(2, b"\x08" + varint(size)) for size in shape)
        if kind == "text" or draw.random() < 0.5:
            content = values_field(at, how, cells, draw)
        else:
            content = [field(4, np.array(cells, kind).tobytes())]
        tensor = shuffled([[b"\x08" + varint(dtype)], [field(2, dims)], content], draw)
        name = f"{draw.choice(NAMES)}{number}"
        inputs.append(field(2, shuffled([[field(1, name)], [field(2, tensor)]], draw)))
    choice = draw.choice([b"", field(2, b""), field(2, b"\x08" + varint(300)), field(4, "stable")])
    signature = draw.choice([b"", *(field(3, name) for name in ("", "serving_default", "features"))])
    spec = shuffled([[field(1, "small")], [choice], [signature]], draw)
    wanted = [field(3, name) for name in draw.sample(NAMES, draw.randint(0, 3))]
    return shuffled([inputs, [field(1, spec)] if draw.random() < 0.9 else [], wanted], draw)


def epm_request(draw: random.Random) -> bytes:
    columns, tensors = [], []
    for number in range(draw.randint(0, 4)):
        kind, months = draw.choice(["f8", "i8", "text", "history"]), draw.randint(1, 36)
        count = draw.choice([1, 3, 64, 130])
        name, valid = [field(1, f"{draw.choice(NAMES)}{number}")], []
        if kind == "history":
            cells = values_field(2, "d", some_cells("f8", count * months, draw), draw)
            held = field(5, shuffled([[b"\x08" + varint(months)], cells], draw))
        else:
            at, how = {"f8": (2, "d"), "i8": (3, "v"), "text": (4, "text")}[kind]
            held = field(at, b"".join(values_field(1, how, some_cells(kind, count, draw), draw)))
            if draw.random() < 0.3:
                valid = [field(6, draw.randbytes((count + 7) // 8))]
        columns.append(field(3, shuffled([name, [held], valid], draw)))
    for number in range(draw.choice([0, 0, 1, 2])):
        shape = some_shape("f4", draw)
        cells = values_field(3, "f", some_cells("f4", int(np.prod(shape)), draw), draw)
        tensors.append(field(5, shuffled([[field(1, f"t{number}")], values_field(2, "v", shape, draw), cells], draw)))
    choice = draw.choice([b"", b"\x10" + varint(300), field(3, "stable")])
    model = field(2, shuffled([[field(1, "small")], [choice]], draw))
    return shuffled([columns, tensors, [model], [field(1, draw.choice(["", "id", "i" * 140]))]], draw)


MAKERS = {"epm": epm_request, "kserve": kserve_request, "tf": tf_request}
protocols = st.sampled_from([*MAKERS])
numbers = st.integers(0, 1 << 32)


@settings(deadline=None, max_examples=300)
@given(protocols, numbers)
def test_every_request_of_the_common_form_is_read(protocol: str, seed: int) -> None:
    """In every order of fields, packed or not; what stands before and behind it makes no difference."""
    body = MAKERS[protocol](random.Random(seed))
    for around in (b"", b"\x00" * 9, b"\xff" * 9):
        data = np.frombuffer(bytearray(around + body + around), np.uint8)
        found = read(protocol, data, len(around), len(around) + len(body))
        assert found is not None
        assert agree(protocol, found, body)


@settings(deadline=None, max_examples=300)
@given(protocols, numbers)
def test_a_message_as_protobuf_writes_it_is_read(protocol: str, seed: int) -> None:
    body = MESSAGES[protocol].FromString(MAKERS[protocol](random.Random(seed))).SerializeToString()
    found = read(protocol, np.frombuffer(bytearray(body), np.uint8), 0, len(body))
    assert found is not None
    assert agree(protocol, found, body)


@settings(deadline=None, max_examples=1500)
@given(protocols, numbers)
def test_of_a_damaged_message_nothing_is_read_but_what_protobuf_reads(protocol: str, seed: int) -> None:
    draw = random.Random(seed)
    body = damaged(MAKERS[protocol](draw), draw)
    found = read(protocol, np.frombuffer(bytearray(body), np.uint8), 0, len(body))
    if found is not None:
        agree(protocol, found, body)


def damaged(body: bytes, draw: random.Random) -> bytes:
    """Bytes changed, cut off, put in, left out or said twice, up to three times."""
    for _ in range(draw.choice([1, 1, 2, 3])):
        at, stop = sorted((draw.randint(0, len(body)), draw.randint(0, len(body))))
        near = min(stop, at + 6)
        body = draw.choice(
            [
                body[:at],
                body[:at] + draw.randbytes(1) + body[at + 1 :],
                body[:at] + bytes([draw.choice([0, 1, 2, 8, 10, 13, 18, 26, 127, 128, 255])]) + body[at + 1 :],
                body[:at] + draw.randbytes(draw.randint(1, 4)) + body[at:],
                body[:at] + body[near:],
                body[:near] + body[at:near] + body[near:],
                body + body[at:stop],
            ]
        )
    return body


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("tf", field(1, field(1, "m") + field(1, "m"))),
        ("tf", field(1, field(1, "m")) * 2),
        ("tf", field(1, field(1, "m") + field(2, b"\x08\x01") + field(4, "stable"))),
        ("tf", field(1, field(1, "m") + field(3, "by_it"))),
        ("tf", field(1, field(1, "m") + field(3, "serving_defaulT"))),
        ("tf", field(1, field(1, b"\xff"))),
        ("tf", field(1, field(1, "m") + field(4, ""))),
        ("tf", field(2, field(1, "c") + field(2, b"\x08\x01" + field(2, b"\x18\x01") + field(5, bytes(4))))),
        ("tf", field(2, field(1, "c") + field(2, b"\x08\x01" + field(5, bytes(4))))),
        ("tf", field(2, field(1, "c") + field(2, b"\x08\x13" + field(2, field(2, b"\x08\x01")) + field(13, b"\0")))),
        ("tf", field(9, "")),
        ("kserve", field(1, "m") * 2),
        ("kserve", field(2, "1.0")),
        ("kserve", field(2, "1" * 19)),
        ("kserve", field(4, field(1, "priority"))),
        ("kserve", field(5, field(1, "c") + field(2, "FP16") + field(3, b"\x01") + field(5, b""))),
        ("kserve", field(5, field(1, "c") + field(2, "FP32") + field(5, field(6, bytes(4))))),
        ("kserve", field(6, field(1, "o") + field(2, ""))),
        ("kserve", b"\x8a\x80\x00\x01m"),
        ("kserve", b"\x0a\x81\x80\x80\x80\x80\x00m"),
        ("epm", field(4, "")),
        ("epm", field(2, field(1, "m") + b"\x10\x01" + field(3, "stable"))),
        ("epm", field(3, field(1, "c") + field(2, b"") + field(3, b""))),
        ("epm", field(3, field(1, "c"))),
        ("epm", field(3, field(1, "c") + field(4, field(1, b"\xed\xa0\x80")))),
        ("epm", field(3, field(1, "c") + field(5, b"\x08\x02" + field(2, bytes(24))))),
        ("epm", field(3, field(1, "c") + field(5, b"\x08\x01" + field(2, bytes(8)) + field(3, b"\x01")))),
        ("epm", field(5, field(1, "t") + field(3, bytes(4)))),
    ],
)
def test_what_is_not_of_the_common_form_is_left_to_python(protocol: str, body: bytes) -> None:
    assert read(protocol, np.frombuffer(bytearray(body), np.uint8), 0, len(body)) is None


def test_a_bool_that_is_neither_0_nor_1_is_left_to_python() -> None:
    body = field(5, field(1, "c") + field(2, "BOOL") + field(3, b"\x02")) + field(7, b"\x01\x02")
    found = read("kserve", np.frombuffer(bytearray(body), np.uint8), 0, len(body))
    assert found is not None
    assert found.columns[0][3] is None


def test_a_last_value_that_is_to_be_repeated_is_left_to_python() -> None:
    tensor = b"\x08\x01" + field(2, field(2, b"\x08\x03")) + field(5, bytes(8))
    body = field(2, field(1, "c") + field(2, tensor))
    found = read("tf", np.frombuffer(bytearray(body), np.uint8), 0, len(body))
    assert found is not None
    assert found.columns[0][3] is None


@pytest.mark.parametrize("shape", [[0], [1, 0], [1 << 31, 1 << 31, 2], [1 << 31, 1 << 10, 0]])
def test_absurd_shapes_have_no_elements(shape: list[int]) -> None:
    column = np.zeros(16, np.int64)
    column[4 : 5 + len(shape)] = len(shape), *shape
    absurd = np.prod([max(size, 1) for size in shape], dtype=object) > 1 << 40
    assert values_kernels.elements(column) == (-1 if absurd else 0)


@settings(deadline=None)
@given(st.binary(max_size=6) | st.text(max_size=3).map(str.encode))
def test_utf_8_is_what_python_says_it_is(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        known = False
    else:
        known = True
    assert wire_kernels.is_utf8(np.frombuffer(bytearray(b"\x80" + text + b"\x80"), np.uint8), 1, len(text)) == known


@settings(deadline=None)
@given(st.data())
def test_a_name_is_found_wherever_it_stands_and_no_other_is(data: st.DataObject) -> None:
    """Names that differ only in the middle, only in zeros at their end or only in size; behind them a byte, or none."""
    some = st.binary(max_size=40) | st.builds(lambda middle: b"aaaaaaaa" + middle + b"zzzzzzzz", st.binary(max_size=9))
    names = data.draw(st.lists(some | st.sampled_from([b"a", b"a\0", b"a" * 8, b"a" * 9, b"a" * 16]), unique=True))
    memory = Memory()
    address, mask = names_table({name: number for number, name in enumerate(names)}, memory)
    for asked in [*names, data.draw(some)]:
        for behind in (b"", b"z" * 9):
            text = np.frombuffer(bytearray(b"z" + asked + behind), np.uint8)
            number = names.index(asked) if asked in names else -1
            assert rows_kernels.find(address, mask, text, 1, len(asked)) == number
