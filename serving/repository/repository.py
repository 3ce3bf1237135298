"""All models below one folder: which versions there are, which are served, and the swap when that changes.

Serving is decided as TF Serving and Triton do by default: of each model the newest version, and besides it those that a
label names (`labels.json` beside the versions: {"stable": 3}). A version that fails its checks is refused with the
reason, and the one before it is served, or goes on being served. Readers see one immutable snapshot; a load never
disturbs them.
"""

import logging
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from serving.errors import BackendFailed, EpmError, NotFound, NotReady
from serving.repository.making import Making
from serving.repository.served import ServedModel
from serving.repository.versions import appearance, artifact_digest, load_version

log = logging.getLogger("epm.repository")


@dataclass(frozen=True)
class Refused:
    """A version that is not served, and why; not tried again until its files change."""

    files: str
    """What its files looked like: see `versions.appearance`."""
    reason: str
    again: bool = False
    """Whether it is tried again at the next look: its files are good, a server was not."""


@dataclass(frozen=True)
class ModelState:
    """One model at one moment: its served versions, the refused ones, and the labels.

    A version that is in both was replaced on disk by an artifact that is refused, and goes on being served as it was.
    """

    name: str
    served: Mapping[int, ServedModel] = field(default_factory=dict)
    refused: Mapping[int, Refused] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def newest(self) -> ServedModel | None:
        return self.served[max(self.served)] if self.served else None


class Repository:
    """The models below `root`. `scan` is called from one thread at a time; everything else from any thread."""

    def __init__(
        self, root: Path, making: Making | None = None, on_load: Callable[[str, int, str], None] | None = None
    ) -> None:
        """making: how versions get their backends; on_load: told (model, version, "served" or "refused") of a load."""
        self.root = root
        self._making = making or Making()
        self._on_load = on_load or (lambda model, version, outcome: None)
        self._models: Mapping[str, ModelState] = {}
        self._scanned = False
        self.bad_labels: dict[str, str] = {}
        """Why labels.json of a model cannot be read, by model; its labels stay as they were."""

    @property
    def models(self) -> Mapping[str, ModelState]:
        """The current snapshot: replaced as a whole, never changed."""
        return self._models

    def resolve(self, name: str, version: int | None = None, label: str | None = None) -> ServedModel:
        """The served model that is asked for; without version or label the newest. Raises NotFound, NotReady."""
        state = self._models.get(name)
        if state is None and not self._scanned:
            raise NotReady("models are still being loaded: try again")
        if state is not None and not state.served and any(refused.again for refused in state.refused.values()):
            raise NotReady(f"model {name!r}: {'; '.join(refused.reason for refused in state.refused.values())[:300]}")
        if state is None or not state.served:
            known = ", ".join(sorted(self._models)) or "none"
            why = f": {'; '.join(r.reason for r in state.refused.values())}" if state and state.refused else ""
            raise NotFound(f"model {name[:100]!r} is not served{why[:200]}; models here: {known}")
        if label is not None:
            version = state.labels.get(label)
            if version is None:
                known = ", ".join(sorted(state.labels)) or "none"
                raise NotFound(f"model {name!r} has no version label {label[:100]!r}; labels: {known}")
        served = state.newest if version is None else state.served.get(version)
        if served is None:
            pending = state.refused.get(version or 0)
            if pending is not None and pending.again:
                raise NotReady(f"version {version} of model {name!r}: {pending.reason}")
            known = ", ".join(map(str, sorted(state.served)))
            raise NotFound(f"version {version} of model {name!r} is not served; served: {known}")
        return served

    @property
    def waits(self) -> bool:
        """Whether a version is not served only because its server has not proven itself yet."""
        return any(refused.again for state in self._models.values() for refused in state.refused.values())

    def scan(self) -> None:
        """Look at the disk, load what is new, then show the new snapshot. Models are swapped one by one.

        Raises OSError when the repository cannot be read: what is served goes on being served.
        """
        folders = sorted(self._folders())
        for folder in folders:
            before = self._models.get(folder.name, ModelState(folder.name))
            try:
                state = self._scan_model(folder, before)
            except OSError as error:
                log.error("model %s cannot be read: %s; it stays as it is", folder.name, error.strerror)
                state = before
            self._models = {**self._models, folder.name: state}
        self._scanned = True
        gone = self._models.keys() - {folder.name for folder in folders}
        if gone:
            log.info("models gone from the repository: %s", ", ".join(sorted(gone)))
            self._models = {name: state for name, state in self._models.items() if name not in gone}

    def _folders(self) -> Iterator[Path]:
        for path in folders_in(self.root):
            try:
                found = any(versions_in(path))
            except OSError:
                found = path.name in self._models
            if found:
                yield path

    def _scan_model(self, folder: Path, before: ModelState) -> ModelState:
        labels = self._labels(folder, before.labels)
        served: dict[int, ServedModel] = {}
        refused: dict[int, Refused] = {}
        newest_found = False
        for version in sorted(versions_in(folder), reverse=True):
            if newest_found and version not in labels.values():
                continue
            outcome = self._current(folder, version, before)
            if isinstance(outcome, Refused):
                refused[version] = outcome
                former = before.served.get(version)
                if former is None:
                    continue
                outcome = former
            served[version] = outcome
            newest_found = True
        return ModelState(folder.name, served, refused, labels)

    def _current(self, folder: Path, version: int, before: ModelState) -> ServedModel | Refused:
        """The version as its files are now: what is served or refused already, or the outcome of loading it."""
        files = appearance(folder / str(version))
        known = before.refused.get(version)
        if known is not None and known.files == files and not known.again:
            return known
        try:
            former = before.served.get(version)
            if former is not None and former.digest == artifact_digest(folder / str(version)):
                return former
            served = load_version(folder / str(version), self._making)
        except EpmError as error:
            refused = self._refuse(folder.name, version, files, error.message, before)
            return replace(refused, again=isinstance(error, BackendFailed))
        except Exception as error:  # a broken file may break any library below; the others must go on being served
            where = "".join(traceback.format_tb(error.__traceback__))  # not its text: golden rows are of people
            log.error("model %s version %d: %s\n%s", folder.name, version, type(error).__name__, where)
            return self._refuse(folder.name, version, files, f"{type(error).__name__} while loading it", before)
        by = ", then ".join(f"{backend.name} ({backend.device})" for backend in served.backends)
        log.info("model %s version %d is served by %s", folder.name, version, by)
        self._on_load(folder.name, version, "served")
        return served

    def _refuse(self, model: str, version: int, files: str, reason: str, before: ModelState) -> Refused:
        known = before.refused.get(version)
        if known is None or known.reason != reason:  # a version that is being copied changes often, its reason seldom
            log.error("model %s version %d is refused: %s", model, version, reason)
            self._on_load(model, version, "refused")
        return Refused(files, reason)

    def _labels(self, folder: Path, before: Mapping[str, int]) -> Mapping[str, int]:
        """Labels of the model; a file that cannot be read leaves the labels as they were."""
        path = folder / "labels.json"
        try:
            labels = msgspec.json.decode(path.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            labels = {}
        except (OSError, msgspec.MsgspecError) as error:
            if self.bad_labels.get(folder.name) != str(error):  # said once, not at every look
                log.error("model %s: labels.json: %s; labels stay as they were", folder.name, error)
                self.bad_labels[folder.name] = str(error)
            return before
        self.bad_labels.pop(folder.name, None)
        return labels


def folders_in(root: Path) -> Iterator[Path]:
    """Folders that may be of models: not `lost+found`, not what begins with a dot."""
    for path in root.iterdir():
        if path.is_dir() and re.fullmatch(r"\w[\w.-]*", path.name):
            yield path


def versions_in(folder: Path) -> Iterator[int]:
    """Numbers of the versions of one model on disk."""
    for path in folder.iterdir():
        if path.is_dir() and re.fullmatch(r"[1-9]\d{0,17}", path.name):
            yield int(path.name)
