"""Names of entities in Redis: keyed hashes, so that who reads Redis does not learn of whom it knows something."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from serving import hash_key
from serving.hash_key import from_hexadecimal, hexadecimal

PREFIX = b"epm:facts:"
_NAME = re.compile(re.escape(PREFIX) + rb"([0-9a-f]{32})")


class HashKey(hash_key.HashKey):
    """The secret key, and what entities are called under it."""

    __slots__ = ()

    def keys(self, entity_type: str, ids: Sequence[str]) -> NDArray[np.uint64]:
        """The keyed hashes of n entities of one type: uint64[n, 2]."""
        kind = entity_type.encode("utf-8", "surrogatepass") + b"\0"
        return self.hashes([kind + entity.encode("utf-8", "surrogatepass") for entity in ids])

    @staticmethod
    def names(keys: NDArray[np.uint64]) -> list[bytes]:
        """The Redis keys of n entities. keys: uint64[n, 2]."""
        digits = hexadecimal(keys)
        return [PREFIX + digits[at : at + 32] for at in range(0, len(digits), 32)]

    @staticmethod
    def parse(names: Iterable[bytes]) -> NDArray[np.uint64]:
        """The keys of Redis keys, as `names` wrote them: uint64[m, 2]. What is no name of an entity is left out."""
        found = filter(None, map(_NAME.fullmatch, names))
        return from_hexadecimal(b"".join(match[1] for match in found))
