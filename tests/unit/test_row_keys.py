"""Keys of rows: every byte, every artifact and every name of a tensor counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import hash_kernels
from serving.cache.row_keys import RowKeys
from serving.hash_key import HashKey

pytestmark = pytest.mark.unit

KEY = HashKey(bytes(range(16)))
SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "one": ((51,),),
    "two": ((3,), (4, 2)),
    "one of months": ((12, 7),),
    "three": ((2,), (1,), (2, 2)),
}


def draw(shapes: tuple[tuple[int, ...], ...], rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors of these shapes, without n."""
    random = np.random.default_rng(seed)
    return {f"t{i}": random.normal(size=(rows, *shape)).astype(np.float32) for i, shape in enumerate(shapes)}


def keys_of(tensors: dict[str, np.ndarray], digest: str = "digest", key: HashKey = KEY) -> np.ndarray:
    return RowKeys(key, digest, tuple(tensors))(tensors)


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_a_key_is_the_hash_of_the_bytes_of_all_tensors_in_order(shapes: tuple[tuple[int, ...], ...]) -> None:
    tensors = draw(shapes, 9)
    row_keys = RowKeys(KEY, "digest", tuple(tensors))
    keys = row_keys(tensors)
    assert (keys.dtype, keys.shape) == (np.uint64, (9, 2))
    for row in range(9):
        data = np.frombuffer(bytearray(b"".join(tensor[row].tobytes() for tensor in tensors.values())), np.uint8)
        assert tuple(keys[row]) == hash_kernels.siphash128(data, 0, len(data), row_keys.k0, row_keys.k1)


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_every_byte_of_every_tensor_changes_the_key_of_its_row_and_of_no_other(
    shapes: tuple[tuple[int, ...], ...],
) -> None:
    tensors = draw(shapes, 3)
    before, seen = keys_of(tensors), set()
    for name, tensor in tensors.items():
        for at in range(tensor[1].nbytes):
            changed = tensor.copy()
            changed[1:2].reshape(1, -1).view(np.uint8)[0, at] ^= 1
            keys = keys_of({**tensors, name: changed})
            assert np.array_equal(keys[[0, 2]], before[[0, 2]])
            seen.add(tuple(keys[1]))
    assert tuple(before[1]) not in seen
    assert len(seen) == sum(tensor[1].nbytes for tensor in tensors.values())


def test_artifact_names_and_secret_change_the_key() -> None:
    tensors = draw(((4,), (4,)), 1)
    swapped = {"t1": tensors["t1"], "t0": tensors["t0"]}
    different = [
        keys_of(tensors),
        keys_of(tensors, digest="digesu"),
        keys_of({"t0": tensors["t0"], "t2": tensors["t1"]}),
        keys_of(swapped),
        keys_of(tensors, key=HashKey(bytes(16))),
        keys_of({"t0": np.concatenate([tensors["t0"], tensors["t1"]], axis=1)}),
    ]
    assert len({tuple(keys[0]) for keys in different}) == len(different)
    assert np.array_equal(RowKeys(KEY, "digest", ("t0", "t1"))(swapped), different[0])


@given(rows=st.integers(0, 20), seed=st.integers(0, 2**32 - 1))
def test_neighbours_and_the_memory_that_a_row_lies_in_play_no_part(rows: int, seed: int) -> None:
    tensors = draw(((5,), (2, 3)), rows, seed)
    keys = keys_of(tensors)
    alone = [keys_of({name: tensor[row : row + 1] for name, tensor in tensors.items()})[0] for row in range(rows)]
    assert keys.tolist() == [key.tolist() for key in alone]
    for form in (np.asfortranarray, _read_only, _unaligned, lambda tensor: tensor[::-1].copy()[::-1]):
        assert np.array_equal(keys_of({name: form(tensor) for name, tensor in tensors.items()}), keys)


def _read_only(tensor: np.ndarray) -> np.ndarray:
    return np.frombuffer(tensor.tobytes(), np.float32).reshape(tensor.shape)


def _unaligned(tensor: np.ndarray) -> np.ndarray:
    return np.frombuffer(bytearray(b"x" + tensor.tobytes()), np.float32, offset=1).reshape(tensor.shape)


def test_a_graph_has_inputs() -> None:
    with pytest.raises(ValueError, match="without inputs"):
        RowKeys(KEY, "digest", ())
