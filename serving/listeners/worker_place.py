"""Where a worker and its supervisor find each other."""

from dataclasses import dataclass
from pathlib import Path

from serving.errors import SettingsError


@dataclass(frozen=True)
class WorkerPlace:
    """folder: of all sockets; number: of the worker, from 1; life: how often it has been started, from 1."""

    folder: Path
    number: int
    life: int

    @classmethod
    def read(cls, text: str) -> "WorkerPlace":
        """From EPM_WORKER, which only a supervisor sets. Raises SettingsError."""
        folder, _, name = text.rpartition("/")
        number, _, life = name.partition(".")
        place = cls(Path(folder), int(number), int(life)) if number.isdecimal() and life.isdecimal() else None
        if place is None or not Path(place.supervisor).is_socket():
            raise SettingsError(
                f"EPM_WORKER: got {text!r}, expected nothing: it is set for workers", field="EPM_WORKER"
            )
        return place

    def __str__(self) -> str:
        return f"{self.folder}/{self.number}.{self.life}"

    @property
    def socket(self) -> str:
        """Where the worker answers."""
        return str(self)

    @property
    def supervisor(self) -> str:
        """Where the supervisor answers."""
        return str(self.folder / "supervisor")
