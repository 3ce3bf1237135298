"""Marked values, every form in which they might leak, and the search for them in files and texts."""

import base64
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

PERSON = "Wanda-Sobczak-70231"
"""An id."""
DEPARTMENT = "Zirkelstube-Ost"
SALARY = 213.4371829
"""In the bounds of a column; no two digits of it are a round number."""
TOO_MUCH = 98213.4371829
"""Out of all bounds."""
TOKEN = "Hollerith" + "-token-55120"
WRONG_TOKEN = "Jacquard" + "-token-80441"
TEXTS = {"person": PERSON, "department": DEPARTMENT, "token": TOKEN, "wrong token": WRONG_TOKEN}
DIGITS = "213.437"
"""With which the text of either number begins, or goes on, however it is rounded to float32."""


def forms() -> dict[str, bytes]:
    """What to look for, by its name: no byte of any form is there by chance."""
    found = {}
    for name, text in TEXTS.items():
        encodings = {"utf-8": text.encode(), "utf-16": text.encode("utf-16-le"), "url": quote(text, safe="").encode()}
        for encoding, data in encodings.items():
            found |= {f"{name} in {encoding}{how}": form for how, form in _written(data)}
    found |= {f"salary in digits{how}": form for how, form in _written(DIGITS.encode())}
    found["salary in digits in utf-16"] = DIGITS.encode("utf-16-le")
    for number in (SALARY, TOO_MUCH):
        for order, data in (("<", struct.pack("<d", number)), (">", struct.pack(">d", number))):
            found |= {f"{number} as {order}f8{how}": form for how, form in _written(data)}
    return found


def _written(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, in hexadecimal, and in base64 wherever in a longer text they begin."""
    yield "", data
    yield " in hex", data.hex().encode()
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + data)
        first, last = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
        yield f" in base64 + {shift}", whole[first:last]


FORMS = forms()


def marks_in(*pieces: bytes) -> list[str]:
    """The names of all forms that occur in one of them; hexadecimal digits count in either case."""
    found = []
    for name, form in FORMS.items():
        upper = form.upper() if "in hex" in name else form
        if any(form in piece or upper in piece for piece in pieces):
            found.append(name)
    return found


def marked_files(folders: Iterable[Path]) -> dict[str, list[str]]:
    """Marks by the files in whose name or content they stand."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            if marks := marks_in(str(path).encode(), content):
                found[str(path)] = marks
    return found
