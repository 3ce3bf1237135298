"""Numba, set up so that what it keeps on disk is never stale, and never stands between a caller and an answer.

Numba's own cache notices a change of the file a kernel stands in, not of a function it calls in another file: an
upgrade would go on computing the old thing. It refuses to define a kernel while its folder cannot be written, lets a
damaged file fail the call that meets it, and changes its index without a lock when two processes fill it. So compiled
kernels are kept here instead: one file per kernel, signature and processor, in a folder named by a hash of all kernel
sources and the versions of the compiler. Modification times and the place of the installation play no part.

What cannot be read is compiled, what cannot be written is logged once. Kernels stand in files named `*kernels.py`, use
`kernel` from here, import only NumPy and other kernels, and take numbers and flat arrays.
"""

import functools
import hashlib
import logging
import os
import pickle
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numba import njit, types
from numba.core import config
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from serving import settings

log = logging.getLogger("epm.jit")

_PACKAGE = Path(__file__).parent
_DIGEST = hashlib.sha256().digest_size
_UNUSED_SECONDS = 30 * 86400.0


def fingerprint(package: Path = _PACKAGE) -> str:
    """Hash of all kernel sources below `package` and of the versions that compile them."""
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*kernels.py")):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    made_by = [sys.implementation.cache_tag, *(version(name) for name in ("numba", "llvmlite", "numpy"))]
    digest.update(" ".join(map(str, made_by)).encode())
    return digest.hexdigest()[:20]


class KernelFolder:
    """Where compiled kernels are kept from one process to the next.

    What lies there is unpickled, which is to run it. So the folder has to belong to this user or to root, and nobody
    may write into it but these two and members of root's group or of a group that this process is in (Kubernetes makes
    a volume writable to the pod's `fsGroup`). That is asked of the folder itself, once, when it is opened; it is used
    through its descriptor from then on, so that it makes no difference who may write into the folders above it: a
    mounted `emptyDir` is open to everybody.
    """

    def __init__(self, path: Path, make: bool = True) -> None:
        """Open the folder. make: make it when it is not there, and leave a trace that it is used.

        Raises OSError with the reason why it cannot be used.
        """
        found = path.is_dir()
        if not found and make:
            path.mkdir(0o755, parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if distrust := _distrust(os.fstat(self._descriptor)):
            os.close(self._descriptor)
            raise PermissionError(distrust)
        if not make:
            return
        with suppress(OSError):
            os.utime(self._descriptor)
        if not found:
            _remove_former(path)

    def read(self, name: str) -> bytes | None:
        """What was written as `name`; None where there is no such file. Raises OSError, also when it is damaged."""
        try:
            with open(name, "rb", opener=self._open) as file:
                content = file.read()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            raise OSError("damaged")
        return content[_DIGEST:]

    def write(self, name: str, data: bytes) -> None:
        """Write the file whole or not at all, whoever else writes it at the same time. Raises OSError."""
        temporary = f"{name}.{secrets.token_hex(8)}"
        try:
            with open(temporary, "xb", opener=self._open) as file:
                file.write(hashlib.sha256(data).digest() + data)
            os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._descriptor)
            raise

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, 0o644, dir_fd=self._descriptor)


def _distrust(state: os.stat_result) -> str:
    """Why code from a folder of this state is not run; empty where it is."""
    if state.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {state.st_uid}"
    if state.st_mode & stat.S_IWOTH:
        return "everybody may write into it"
    if state.st_mode & stat.S_IWGRP and state.st_gid not in (0, os.getegid(), *os.getgroups()):
        return f"group {state.st_gid} may write into it"
    return ""


def _remove_former(path: Path) -> None:
    """Remove what former versions left beside the new folder `path` and no process has opened for 30 days."""
    with suppress(OSError):
        for other in path.parent.iterdir():
            ours = re.fullmatch(r"kernels-[0-9a-f]{20}", other.name) and other != path
            if ours and time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)


@functools.cache
def kernel_folder() -> KernelFolder | None:
    """The folder of this process; None, with a warning, where there is none that it can use."""
    root = settings.jit_cache_root()
    if root is None:
        log.warning("compiled kernels are not kept: no home folder, and no EPM_JIT_CACHE_DIR")
        return None
    path = root / f"kernels-{fingerprint()}"
    try:
        return KernelFolder(path, make=not _looking)
    except OSError as error:
        log.warning("compiled kernels are not kept, every start compiles them: %s: %s", path, error.strerror or error)
        return None


class NotKept(Exception):
    """A kernel that would have to be compiled, in a process that only looks."""


_looking = False


def look_only() -> None:
    """From now on this process compiles nothing and writes nothing: calling what is not kept raises NotKept."""
    global _looking
    _looking = True


class _Counts:
    """What this process has compiled and what it has read from the folder, entry points and their callees alike."""

    compiled = 0
    loaded = 0
    unwritten = 0


counts = _Counts()


class _KernelCache(NullCache):
    """Numba's view of the folder, for one kernel."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._line = function.__code__.co_firstlineno

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled kernel for `sig`, or None, whatever the reason: then Numba compiles it."""
        found = self._read(sig, target_context)
        if found is None and _looking:
            raise NotKept(self._name)
        return found

    def _read(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # all that code needs to run; what compiling needs takes a second to import
        folder = kernel_folder()
        if folder is None:
            return None
        try:
            data = folder.read(self._file(sig, target_context.codegen()))
            if data is None:
                return None
            found = CompileResult._rebuild(target_context, *pickle.loads(data))  # noqa: S301 (see KernelFolder)
        except Exception as error:  # of whatever kind: it costs the time to compile, no answer
            log.warning("compiled kernel %s cannot be read, it is compiled again: %s", self._name, error)
            return None
        counts.loaded += 1
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what Numba compiled for `sig`; what cannot be written is logged, once for all kernels."""
        if data.library.has_dynamic_globals:
            raise TypeError(f"{self._name}: a kernel holds no addresses of its process")
        counts.compiled += 1
        log.info("compiled %s%s", self._name, sig)
        folder = kernel_folder()
        if folder is None or counts.unwritten:
            counts.unwritten += 1
            return
        try:
            folder.write(self._file(sig, data.library.codegen), dumps(data._reduce()))
        except OSError as error:
            counts.unwritten += 1
            log.warning(
                "compiled kernel %s is not kept, the next start compiles it again: %s: %s",
                self._name,
                folder.path,
                error.strerror or error,
            )

    def _file(self, sig: Any, codegen: Any) -> str:
        key = (self._name, self._line, str(sig), codegen.magic_tuple(), int(config.OPT), bool(config.BOUNDSCHECK))
        return f"{self._name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:20]}"


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` on first call, keep it on disk, run it without the GIL; division by zero gives inf or NaN."""
    return _compiled(function, False)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that LLVM puts into the kernels that call it: its arguments cost nothing."""
    return _compiled(function, True)


def general(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that is compiled once, and not once more for each constant that it is called with."""
    return _compiled(function, False, constants=False)


def general_inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Both."""
    return _compiled(function, True, constants=False)


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """A general kernel that makes and returns no arrays. It counts no references, which cost more than small work."""
    return _compiled(function, False, constants=False, _nrt=False)


def bare_inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Both."""
    return _compiled(function, True, constants=False, _nrt=False)


def _compiled(
    function: Callable[..., Any], inline: bool, constants: bool = True, **options: bool
) -> Callable[..., Any]:
    """constants: compile it once more for each constant it is called with, as Numba does."""
    if function.__closure__:
        raise TypeError(f"{function.__qualname__}: a kernel is no closure: what it closes over is in no source")
    compiled = njit(nogil=True, error_model="numpy", forceinline=inline, **options)(function)
    compiled._cache = _KernelCache(function)
    if not constants:
        template = compiled.get_call_template
        compiled.get_call_template = lambda args, kws: template(
            tuple(map(types.unliteral, args)), {name: types.unliteral(kind) for name, kind in kws.items()}
        )
    return compiled


def _end_outside(raised: Any) -> None:
    """Instead of `sys.__unraisablehook__`."""
    sys.__unraisablehook__(raised)
    if issubclass(raised.exc_type, IndexError):
        os._exit(70)


def callback(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """A kernel of one signature that a C library calls: its `address` is what is handed over. Compiled when it is made.

    It must raise nothing: an exception is shown on standard error, and zero is returned. In a build with checks
    (NUMBA_BOUNDSCHECK=1) the process ends where one goes outside of an array: that is what such a build is for.
    """
    if config.BOUNDSCHECK and sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _end_outside

    def made(function: Callable[..., Any]) -> Any:
        called: Any = CFunc(
            function, (signature.args, signature.return_type), locals={}, options={"error_model": "numpy"}
        )
        called._cache = _KernelCache(function)
        return called

    return made
