"""The folder of compiled kernels: whether a start reads them or compiles them."""

import os
import shutil

from serving import settings
from serving.doctor.finding import Findings, failed, ok, warning
from serving.doctor.installation import Installation

SETTING = "EPM_JIT_CACHE_DIR"
LEAST_FREE = 64 << 20
"""Bytes; all kernels take a few MiB."""


async def check(installation: Installation) -> Findings:
    """Usable, filled for this processor, writable where it is not filled."""
    from serving.jit import KernelFolder, fingerprint

    root = settings.jit_cache_root()
    if root is None:
        yield warning("there is no home folder to keep kernels in: every start compiles them", f"set {SETTING}")
        return
    path = root / f"kernels-{fingerprint()}"
    there = path if path.is_dir() else next(parent for parent in path.parents if parent.is_dir())
    writable = os.access(there, os.W_OK | os.X_OK)
    if path.is_dir():
        try:
            KernelFolder(path, make=False)
        except OSError as error:
            advice = f"code from there would be run: chown it to user {os.geteuid()}, chmod go-w, or set {SETTING}"
            yield failed(f"{path} is not used: {error.strerror or error}", advice)
            return
        missing = await installation.missing_kernel()
        if not missing:
            yield ok(f"{path} is filled for this processor ({_processor()}){'' if writable else ', and read-only'}")
            return
        found = f"{path} is not filled for this processor ({_processor()}): {missing} would be compiled"
    else:
        found = f"{path} is not there: the next start compiles everything"
    if not writable:
        advice = f"set {SETTING} to a folder that user {os.geteuid()} may write to, or fill it with `epm warm` before"
        yield failed(f"{found}, and {there} cannot be written to: so does every start", advice)
    elif (free := shutil.disk_usage(there).free) < LEAST_FREE:
        yield failed(f"{found}, and {there} has {free >> 20} MiB free", f"make room, or set {SETTING}")
    else:
        yield warning(found, "run `epm warm` as the user who serves, on this kind of processor")


def _processor() -> str:
    from llvmlite.binding import get_host_cpu_name
    from numba.core import config

    return str(config.CPU_NAME or get_host_cpu_name())
