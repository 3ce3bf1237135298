"""`SHA256SUMS`: what every file of a version was when it was published; `sha256sum -c SHA256SUMS` reads it."""

import hashlib
from pathlib import Path

NAME = "SHA256SUMS"
CONFIG = "../config.pbtxt"
GPU_CONFIG = "../configs/gpu.pbtxt"
"""Of a version that was published before there was this file, nothing is said of it."""


def render(files: dict[str, bytes | Path]) -> str:
    """Text of the file. files: path relative to the version -> its bytes, or where it lies now."""
    return "".join(f"{_sha256(content)}  {name}\n" for name, content in sorted(files.items()))


def files_of(version: Path) -> dict[str, bytes | Path]:
    """Every file that lies in a version, and its model's configs: path relative to the version -> where it lies."""
    inside = {path.relative_to(version).as_posix(): path for path in version.rglob("*") if path.is_file()}
    inside.pop(NAME, None)
    beside = {name: version / name for name in (CONFIG, GPU_CONFIG) if name == CONFIG or (version / name).is_file()}
    return {**inside, **beside}


def differences(version: Path) -> list[str]:
    """What is not as SHA256SUMS says, one sentence a file; nothing when all is well."""
    try:
        said = (version / NAME).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [f"{NAME}: unreadable ({error})"]
    promised = {name: digest for digest, separator, name in (line.partition("  ") for line in said.splitlines())}
    there = {
        name: content
        for name, content in files_of(version).items()
        if (not isinstance(content, Path) or content.is_file()) and (name != GPU_CONFIG or name in promised)
    }
    if said == render(there):
        return []
    found = {name: _sha256(content) for name, content in there.items()}
    problems = [f"{name}: missing, {NAME} lists it" for name in sorted(promised.keys() - found.keys())]
    problems += [f"{name}: not listed in {NAME}" for name in sorted(found.keys() - promised.keys())]
    problems += [
        f"{name}: changed since it was published, its SHA-256 is not the one in {NAME}"
        for name in sorted(found.keys() & promised.keys())
        if found[name] != promised[name]
    ]
    return problems or [f"{NAME}: not in the form in which it was published"]


def _sha256(content: bytes | Path) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.read_bytes()).hexdigest()
