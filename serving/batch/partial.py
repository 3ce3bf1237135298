"""What is finished of a run that is not: a folder beside its output, which one process has at a time.

A part counts once `state.json` counts it, which is replaced after the part is on disk. So a run can be killed at any
moment: the next one goes on behind the last part.
"""

import fcntl
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from serving.batch.files import create, finish, replace, sync_folder
from serving.errors import EpmError

STATE = "state.json"
Plan = dict[str, str]
"""What makes a run what it is, in words; another run may only go on where it is the same."""


@dataclass
class State:
    """How far a run is. position: of the input; rows: answered; rejected: rows without an answer."""

    plan: Plan
    position: dict[str, int]
    parts: int = 0
    rows: int = 0
    rejected: int = 0
    merged: bool = False
    """Whether the whole output lies here, to be renamed."""


@dataclass
class Partial:
    """The folder, locked; use it in `with`."""

    out: Path
    folder: Path = field(init=False)
    _lock: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        self.folder = self.out.with_name(f"{self.out.name}.partial")

    def __enter__(self) -> "Partial":
        """Make it if need be, and lock it. Raises EpmError when another process has it."""
        while True:
            self.folder.mkdir(0o700, exist_ok=True)
            lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise EpmError(f"{self.out}: another process is writing it (it has {self.folder})") from None
            if _same(lock, self.folder):
                self._lock = lock
                return self
            os.close(lock)  # removed meanwhile, by the process that had it

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def part(self, number: int) -> Path:
        """Where the answers of a part stand."""
        return self.folder / f"answers-{number:08}"

    def rejected(self, number: int) -> Path:
        """Where it says which rows of a part have no answer."""
        return self.folder / f"rejected-{number:08}"

    def hashes(self, number: int) -> Path:
        """Where it says which ids a part has seen."""
        return self.folder / f"ids-{number:08}"

    @property
    def has_state(self) -> bool:
        """Whether anything is finished."""
        return (self.folder / STATE).exists()

    def load(self) -> State | None:
        """How far an earlier run was; None where there was none. Raises EpmError when that cannot be told."""
        path = self.folder / STATE
        try:
            return msgspec.json.decode(path.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise EpmError(f"{path} cannot be read ({type(error).__name__}): --restart begins anew") from None

    def save(self, state: State) -> None:
        """What `state` counts is on disk already."""
        sync_folder(self.folder)
        fresh = self.folder / f"{STATE}.new"
        file = create(fresh)
        file.write(msgspec.json.encode(asdict(state)))
        finish(file)
        replace(fresh, self.folder / STATE)

    def clear(self) -> None:
        """Forget all that is finished. What says so goes first."""
        (self.folder / STATE).unlink(missing_ok=True)
        sync_folder(self.folder)
        for path in self.folder.iterdir():
            path.unlink()

    def remove(self) -> None:
        """The run is over."""
        shutil.rmtree(self.folder)


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def other_plan(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What differs between two plans, in words; empty when nothing does."""
    names = [name for name in now if before.get(name) != now[name]]
    return "; ".join(f"{name} was {before.get(name, 'nothing')}, now it is {now[name]}" for name in names)
