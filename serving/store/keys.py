"""Names of entities in Redis: keyed hashes, so that who reads Redis does not learn of whom it knows something."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serving.errors import SettingsError

PREFIX = b"epm:facts:"
_NAME = re.compile(re.escape(PREFIX) + rb"([0-9a-f]{32})")
_LONGEST_FILE = 1024


class HashKey:
    """A secret key of 128 bits and the hashes made with it. Its repr does not show the key."""

    __slots__ = ("_k0", "_k1")

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ValueError(f"a key of {len(key)} bytes, expected 16")
        self._k0, self._k1 = (np.uint64(int.from_bytes(half, "little")) for half in (key[:8], key[8:]))

    @classmethod
    def load(cls, path: Path) -> "HashKey":
        """Read a key: 32 hexadecimal digits, or 16 bytes as they are. Raises SettingsError for anything else."""
        name, expected = "EPM_HASH_KEY_FILE", "32 hexadecimal digits, or 16 bytes"
        try:
            with path.open("rb") as file:
                content = file.read(_LONGEST_FILE)
        except OSError as error:
            raise SettingsError(f"{name}: {error.strerror}, expected a file of {expected}", field=name) from error
        digits = content.strip()
        other = digits.translate(None, b"0123456789abcdefABCDEF")
        if len(content) == 16 and other:  # without any other byte it is half a key
            return cls(content)
        if len(digits) != 32 or other:
            raise SettingsError(f"{name}: got a file of {len(content)} bytes, expected {expected}", field=name)
        return cls(bytes.fromhex(digits.decode("ascii")))

    def __repr__(self) -> str:
        return "HashKey(...)"

    def keys(self, entity_type: str, ids: Sequence[str]) -> NDArray[np.uint64]:
        """The keyed hashes of n entities of one type: uint64[n, 2]."""
        from serving import hash_kernels

        kind = entity_type.encode("utf-8", "surrogatepass") + b"\0"
        texts = [kind + entity.encode("utf-8", "surrogatepass") for entity in ids]
        data = np.frombuffer(bytearray().join(texts), np.uint8)  # as in all buffers of kernels: not read-only
        ends = np.fromiter(map(len, texts), np.int64, len(texts)).cumsum()
        keys = np.empty((len(texts), 2), np.uint64)
        hash_kernels.siphash128_many(data, ends, self._k0, self._k1, keys)
        return keys

    def fingerprint(self) -> bytes:
        """Tells this key from others and does not show it: the keyed hash of what is no entity, in 32 digits."""
        return self.keys("", ["fingerprint"]).astype("<u8").tobytes().hex().encode("ascii")

    @staticmethod
    def names(keys: NDArray[np.uint64]) -> list[bytes]:
        """The Redis keys of n entities. keys: uint64[n, 2]."""
        digits = keys.astype("<u8").tobytes().hex().encode("ascii")
        return [PREFIX + digits[at : at + 32] for at in range(0, len(digits), 32)]

    @staticmethod
    def parse(names: Iterable[bytes]) -> NDArray[np.uint64]:
        """The keys of Redis keys, as `names` wrote them: uint64[m, 2]. What is no name of an entity is left out."""
        found = filter(None, map(_NAME.fullmatch, names))
        hashes = bytes.fromhex(b"".join(match[1] for match in found).decode("ascii"))
        return np.frombuffer(hashes, "<u8").astype(np.uint64).reshape(-1, 2)
