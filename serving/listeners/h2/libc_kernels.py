"""The system calls of a loop, by their names in libc; addresses are numbers (int64)."""

from numba import types

from serving.jit import general_inlined
from serving.listeners.h2.memory_kernels import ints, words

_I, _A = types.int32, types.int64

epoll_ctl = types.ExternalFunction("epoll_ctl", _I(_I, _I, _I, _A))
epoll_wait = types.ExternalFunction("epoll_wait", _I(_I, _A, _I, _I))
accept4 = types.ExternalFunction("accept4", _I(_I, _A, _A, _I))
recv = types.ExternalFunction("recv", _A(_I, _A, _A, _I))
send = types.ExternalFunction("send", _A(_I, _A, _A, _I))
read = types.ExternalFunction("read", _A(_I, _A, _A))
write = types.ExternalFunction("write", _A(_I, _A, _A))
close = types.ExternalFunction("close", _I(_I))
shutdown = types.ExternalFunction("shutdown", _I(_I, _I))
setsockopt = types.ExternalFunction("setsockopt", _I(_I, _I, _I, _A, _I))
ioctl = types.ExternalFunction("ioctl", _I(_I, _A, _A))
malloc = types.ExternalFunction("malloc", _A(_A))
free = types.ExternalFunction("free", types.void(_A))
_errno = types.ExternalFunction("__errno_location", _A())
_clock = types.ExternalFunction("clock_gettime", _I(_I, _A))

EAGAIN, EINTR, ECONNABORTED, EMFILE, ENFILE = 11, 4, 103, 24, 23
EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP = 0x1, 0x4, 0x8, 0x10, 0x2000
EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD = 1, 2, 3
SOCK_NONBLOCK, SOCK_CLOEXEC = 0o4000, 0o2000000
MSG_NOSIGNAL, SHUT_WR, SIOCOUTQ = 0x4000, 1, 0x5411
IPPROTO_TCP, TCP_NODELAY = 6, 1
_REALTIME, _MONOTONIC = 0, 1
SECOND = 1_000_000_000
"""Nanoseconds."""


@general_inlined
def error_number():
    """errno of this thread."""
    return ints(_errno(), 1)[0]


@general_inlined
def clock(place):
    """Nanoseconds as `time.monotonic_ns()` counts. place: address of two int64 to write to."""
    _clock(_MONOTONIC, place)
    time = words(place, 2)
    return time[0] * SECOND + time[1]


@general_inlined
def milliseconds(place):
    """Milliseconds since 1970, as `int(time.time() * 1000)` counts. place: as above."""
    _clock(_REALTIME, place)
    time = words(place, 2)
    return time[0] * 1000 + time[1] // 1_000_000
