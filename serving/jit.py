"""Numba, set up so that its disk cache is never stale.

Numba's cache notices a change of the file a kernel stands in, not of a function it calls in another file: an upgrade
would go on computing the old thing. So the cache folder is named by a hash of all kernel sources, Numba's version and
the processor's features, before Numba is imported. Kernels stand in files named `*kernels.py` and use
`kernel` from here.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import __version__ as llvmlite_version
from llvmlite import binding as llvm

from serving import settings

_PACKAGE = Path(__file__).parent


def fingerprint(package: Path = _PACKAGE) -> str:
    """Hash of all kernel sources below `package`, the compiler's version and the processor's features."""
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*kernels.py")):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    digest.update(f"{_numba_version()} {llvmlite_version} {llvm.get_host_cpu_name()}".encode())
    digest.update(llvm.get_host_cpu_features().flatten().encode())
    return digest.hexdigest()[:20]


def _numba_version() -> str:
    from importlib.metadata import version

    return version("numba")


os.environ["NUMBA_CACHE_DIR"] = str(settings.jit_cache_root() / fingerprint())

from numba import njit  # noqa: E402 (the cache folder must be named first)


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` on first call, keep it on disk, run it without the GIL; division by zero gives inf or NaN."""
    return njit(nogil=True, cache=True, error_model="numpy")(function)
