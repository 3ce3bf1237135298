"""libnghttp2 in this process: found, looked at, and set up for sessions of a server."""

import ctypes
import functools
from typing import Any

import llvmlite.binding
import numpy as np

from serving.errors import SettingsError

NAME = "libnghttp2.so.14"
LEAST = (1, 41)
"""The first version whose sessions can be told what they may read without being told so for every frame."""
MOST_CONTINUATIONS = 8


class _Info(ctypes.Structure):
    _fields_ = (
        ("age", ctypes.c_int),
        ("version_num", ctypes.c_int),
        ("version_str", ctypes.c_char_p),
        ("proto_str", ctypes.c_char_p),
    )


@functools.cache
def library() -> ctypes.CDLL:
    """libnghttp2, also for compiled code. Raises SettingsError where it is not there or too old."""
    try:
        found = ctypes.CDLL(NAME)
    except OSError:
        expected = "it (Debian: apt-get install libnghttp2-14), or EPM_LISTENER=grpc_aio"
        raise SettingsError(
            f"EPM_LISTENER: h2 needs {NAME}, which is not here: install {expected}", field="EPM_LISTENER"
        ) from None
    found.nghttp2_version.restype = ctypes.POINTER(_Info)
    number = found.nghttp2_version(0).contents.version_num
    version = (number >> 16, number >> 8 & 255)
    if version < LEAST:
        came, expected = ".".join(map(str, version)), ".".join(map(str, LEAST))
        raise SettingsError(f"EPM_LISTENER: got {NAME} {came}, expected {expected} or later", field="EPM_LISTENER")
    llvmlite.binding.load_library_permanently(NAME)
    return found


@functools.cache
def callbacks() -> int:
    """The address of nghttp2_session_callbacks, which all sessions of this process share. Compiles what it names."""
    found = library()
    from serving.listeners.h2 import callback_kernels as made

    address = ctypes.c_void_p()
    _check(found.nghttp2_session_callbacks_new(ctypes.byref(address)))
    for name, callback in (
        ("on_begin_frame", made.on_begin_frame),
        ("on_begin_headers", made.on_begin_headers),
        ("on_header", made.on_header),
        ("on_data_chunk_recv", made.on_data),
        ("on_frame_recv", made.on_frame),
        ("on_frame_send", made.on_sent),
        ("on_stream_close", made.on_close),
    ):
        setter = getattr(found, f"nghttp2_session_callbacks_set_{name}_callback")
        setter.restype = None
        setter(address, ctypes.c_void_p(_address(callback)))
    data_reader()
    return int(address.value or 0)


def compile_loop() -> None:
    """Compile, or read from disk, all that a loop runs, and what Python calls of its rings."""
    callbacks()
    steps()
    from numba import int64

    from serving.listeners.h2 import ring_kernels as ring
    from serving.listeners.h2.loop_kernels import run
    from serving.listeners.h2.rings import FromLoop, Ring, ToLoop
    from serving.listeners.h2.table_kernels import show_table

    ToLoop(1024).say(ring.FINISH, 0, 0, 0, None, b"")
    for _ in FromLoop(1024).records():
        pass
    ring.read_until(Ring(1024).address, 0)
    show_table(np.zeros(2, np.int64).ctypes.data, 0, 1)
    loop: Any = run
    loop.compile((int64,))


def steps() -> dict[int, int]:
    """Addresses of what loops call by address, by their words (`loop_state_kernels`)."""
    library()
    from serving.listeners.h2 import loop_state_kernels as at
    from serving.listeners.h2.compute_kernels import compute, feature
    from serving.listeners.h2.kept_kernels import kept
    from serving.listeners.h2.prepare_kernels import prepare
    from serving.listeners.h2.stored_kernels import stored
    from serving.listeners.h2.write_kernels import write

    found = {
        at.PREPARE: prepare,
        at.STORED: stored,
        at.FEATURE: feature,
        at.KEPT: kept,
        at.COMPUTE: compute,
        at.WRITE: write,
    }
    return {word: _address(made) for word, made in found.items()}


def data_reader() -> int:
    """The address of the callback that reads answers."""
    library()
    from serving.listeners.h2.callback_kernels import on_read

    return _address(on_read)


def _address(made: Any) -> int:
    if made.address is None:
        made.compile()
    return int(made.address)


@functools.cache
def options(max_streams: int) -> int:
    """The address of nghttp2_option. max_streams: of one connection."""
    found = library()
    address = ctypes.c_void_p()
    _check(found.nghttp2_option_new(ctypes.byref(address)))
    number = ctypes.c_int
    found.nghttp2_option_set_no_auto_window_update(address, number(1))
    found.nghttp2_option_set_no_closed_streams(address, number(1))
    found.nghttp2_option_set_peer_max_concurrent_streams(address, ctypes.c_uint32(max_streams))
    found.nghttp2_option_set_max_outbound_ack(address, ctypes.c_size_t(1000))
    found.nghttp2_option_set_max_settings(address, ctypes.c_size_t(32))
    for name, *values in (
        ("nghttp2_option_set_max_continuations", ctypes.c_size_t(MOST_CONTINUATIONS)),
        ("nghttp2_option_set_stream_reset_rate_limit", ctypes.c_uint64(1000), ctypes.c_uint64(200)),
        ("nghttp2_option_set_server_fallback_rfc7540_priorities", number(0)),
    ):
        if hasattr(found, name):  # later than LEAST, or carried back to it; the loop counts for itself as well
            getattr(found, name)(address, *values)
    return int(address.value or 0)


def _check(code: int) -> None:
    if code:
        raise MemoryError(f"nghttp2: {code}")
