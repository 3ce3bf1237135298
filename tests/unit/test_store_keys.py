"""Keyed hashes of entities: stable, distinct, and nothing that shows who it is."""

from pathlib import Path

import numpy as np
import pytest

from serving import hash_kernels
from serving.errors import SettingsError
from serving.store.keys import PREFIX, HashKey

pytestmark = pytest.mark.unit

KEY = HashKey(bytes(range(16)))


def test_a_key_file_holds_hexadecimal_digits_or_bytes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for content in (
        bytes(range(16)),
        bytes(range(16)).hex().encode(),
        b" " + bytes(range(16)).hex().upper().encode() + b"\n",
    ):
        path.write_bytes(content)
        assert np.array_equal(HashKey.load(path).keys("employee", ["7"]), KEY.keys("employee", ["7"]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"0" * 31,
        b"0" * 33,
        b"g" * 32,
        b"0" * 15,
        "０".encode() * 32,
        b"0x" + b"0" * 30,
        b"00 " * 16,
        b"0123456789abcdeF",  # half a key
        b"0123456789abcde\n",
    ],
)
def test_anything_else_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"EPM_HASH_KEY_FILE.*expected 32 hexadecimal digits") as refusal:
        HashKey.load(path)
    assert refusal.value.field == "EPM_HASH_KEY_FILE"
    assert not content or content.decode() not in refusal.value.message


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        HashKey.load(tmp_path / "absent")


def test_nothing_shows_the_key() -> None:
    assert repr(KEY) == str(KEY) == "HashKey(...)"


def test_a_key_has_16_bytes() -> None:
    with pytest.raises(ValueError, match="15 bytes, expected 16"):
        HashKey(bytes(15))


def test_keys_are_hashes_of_type_and_id() -> None:
    keys = KEY.keys("employee", ["7", "张伟", ""])
    assert keys.shape == (3, 2)
    for entity, both in zip(("7", "张伟", ""), keys, strict=True):
        data = np.frombuffer(b"employee\0" + entity.encode(), np.uint8)
        halves = np.frombuffer(bytes(range(16)), "<u8")
        assert tuple(both) == hash_kernels.siphash128(data, 0, len(data), *halves)
    assert KEY.keys("employee", []).shape == (0, 2)


def test_other_types_ids_and_keys_give_other_hashes() -> None:
    hashes = [
        KEY.keys("employee", ["7"]),
        KEY.keys("employee", ["8"]),
        KEY.keys("team", ["7"]),
        HashKey(bytes(16)).keys("employee", ["7"]),
    ]
    assert len({hashed.tobytes() for hashed in hashes}) == 4
    assert HashKey(bytes(16)).fingerprint() != KEY.fingerprint() == HashKey(bytes(range(16))).fingerprint()
    assert len(KEY.fingerprint()) == 32


def test_an_id_that_is_no_valid_unicode_is_an_id_like_any_other() -> None:
    assert len({key.tobytes() for key in KEY.keys("employee", ["\ud800", "\udc00", "?"])}) == 3


def test_redis_names_show_the_hash_as_the_reference_implementation_writes_it_and_can_be_read_back() -> None:
    keys = KEY.keys("employee", ["7", "8"])
    names = HashKey.names(keys)
    assert names[0] == PREFIX + b"".join(int(half).to_bytes(8, "little") for half in keys[0]).hex().encode()
    assert np.array_equal(HashKey.parse(names), keys)


def test_what_is_no_name_of_an_entity_is_left_out() -> None:
    names = HashKey.names(KEY.keys("employee", ["7", "8"]))
    others = [
        b"",
        PREFIX,
        b"epm:store",
        names[0] + b"0",
        names[0][:-1],
        names[0].upper(),
        names[0][:-2] + b"  ",
        b"\xff",
    ]
    assert np.array_equal(HashKey.parse([*others, *names, *others]), KEY.keys("employee", ["7", "8"]))
    assert HashKey.parse(others).shape == (0, 2)
