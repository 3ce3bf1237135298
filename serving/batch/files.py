"""Files that only their owner may read, written so that a power cut leaves nothing half."""

import os
from pathlib import Path
from typing import BinaryIO


def create(path: Path) -> BinaryIO:
    """A new file, in place of what an interrupted run may have left."""
    path.unlink(missing_ok=True)
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


def finish(file: BinaryIO) -> None:
    """On disk, and closed."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def sync_folder(folder: Path) -> None:
    """What was created, renamed or removed in it is on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(source: Path, target: Path) -> None:
    """Rename, so that a reader sees one or the other."""
    os.replace(source, target)
    sync_folder(target.parent)
