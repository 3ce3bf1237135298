"""The secret key of all keyed hashes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from serving.errors import SettingsError

_LONGEST_FILE = 1024


class HashKey:
    """A secret key of 128 bits and the hashes made with it. Its repr does not show the key."""

    __slots__ = ("_k0", "_k1")

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ValueError(f"a key of {len(key)} bytes, expected 16")
        self._k0, self._k1 = (np.uint64(int.from_bytes(half, "little")) for half in (key[:8], key[8:]))

    @classmethod
    def load(cls, path: Path) -> Self:
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

    @property
    def halves(self) -> tuple[np.uint64, np.uint64]:
        """Both halves, for kernels."""
        return self._k0, self._k1

    def hashes(self, texts: Sequence[bytes]) -> NDArray[np.uint64]:
        """SipHash-2-4-128 of n texts under this key: uint64[n, 2]."""
        from serving import hash_kernels

        data = np.frombuffer(bytearray().join(texts), np.uint8)  # as in all buffers of kernels: not read-only
        ends = np.fromiter(map(len, texts), np.int64, len(texts)).cumsum()
        hashes = np.empty((len(texts), 2), np.uint64)
        hash_kernels.siphash128_many(data, ends, self._k0, self._k1, hashes)
        return hashes

    def derive(self, purpose: bytes) -> tuple[np.uint64, np.uint64]:
        """Both halves of another key, for this purpose alone."""
        ((k0, k1),) = self.hashes([purpose])
        return k0, k1

    def fingerprint(self) -> bytes:
        """Tells this key from others and does not show it: the keyed hash of what is no entity, in 32 digits."""
        return hexadecimal(self.hashes([b"\0fingerprint"]))


def hexadecimal(hashes: NDArray[np.uint64]) -> bytes:
    """32 digits for each of n hashes, uint64[n, 2], as the reference implementation writes them."""
    return hashes.astype("<u8").tobytes().hex().encode("ascii")


def from_hexadecimal(digits: bytes) -> NDArray[np.uint64]:
    """The hashes that `hexadecimal` wrote: uint64[n, 2]. Raises ValueError."""
    return np.frombuffer(bytes.fromhex(digits.decode("ascii")), "<u8").astype(np.uint64).reshape(-1, 2)
