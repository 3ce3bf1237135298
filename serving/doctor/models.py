"""The model repository: digests, contracts, files; and each version loaded as a gateway would load it."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from serving.contract import Contract
from serving.doctor.aside import aside
from serving.doctor.finding import Finding, Findings, failed, ok, warning
from serving.doctor.installation import Installation
from serving.errors import ContractError, SettingsError
from serving.repository.chosen import check_device
from serving.repository.repository import ModelState, folders_in, versions_in
from serving.repository.versions import check_digests

SETTING = "EPM_MODEL_REPO"
Versions = dict[tuple[str, int], str]
"""What is wrong with the files of each version on disk, empty when nothing is."""


async def check(installation: Installation) -> Findings:
    """Each version by itself, then what of it would be served."""
    root = installation.root
    try:
        folders = sorted(folders_in(root))
    except OSError as error:
        yield failed(f"{SETTING}: {root}: {error.strerror}", f"correct {SETTING}, or put the models there")
        return
    for finding in await aside(lambda: list(_rights(root, folders))):
        yield finding
    versions = await aside(lambda: _versions(folders))
    if not versions:
        yield failed(f"{root} holds no model version", f"correct {SETTING}, or publish one: no gateway would be ready")
        return
    try:
        check_device(installation.settings)
    except SettingsError as error:
        yield failed(error.message, "correct EPM_DEVICE")
        return
    for setting, model in installation.settings.named():
        if model not in {name for name, _ in versions}:
            yield warning(f"{setting} names {model}, which is not in {root}", f"correct {setting}")
    if missing := await installation.missing_kernel():
        for finding in _by_files_alone(versions):
            yield finding
        found = f"the golden rows were not computed: {missing} would have to be compiled"
        yield warning(found, "run `epm warm` first, then this again")
        return
    repository = await installation.models()
    models = repository.models
    for (name, version), wrong in versions.items():
        yield _as_served(name, version, wrong, models.get(name, ModelState(name)))
    for name, reason in repository.bad_labels.items():
        yield failed(f"{name}: labels.json: {reason}", f"correct {name}/labels.json: without it there are no labels")
    for state in models.values():
        for label in sorted(label for label, version in state.labels.items() if version not in state.served):
            advice = f"correct {state.name}/labels.json, or mend that version"
            yield failed(f"{state.name}: the label {label} stands for version {state.labels[label]}", advice)


def _versions(folders: list[Path]) -> Versions:
    """Digests and contracts of all that lies there, also of what is too old to be served."""
    found = {}
    for folder in folders:
        for version in sorted(_numbers(folder)):
            home, wrong = folder / str(version), ""
            try:
                check_digests(home)
                Contract.load(home / "contract.json")
            except ContractError as error:
                wrong = error.message
            found[folder.name, version] = wrong
    return found


def _numbers(folder: Path) -> list[int]:
    try:
        return list(versions_in(folder))
    except OSError:  # `_rights` says so
        return []


def _by_files_alone(versions: Versions) -> Iterator[Finding]:
    for (name, version), wrong in versions.items():
        if wrong:
            yield failed(f"{name} version {version}: {wrong}", _mend(name, version))
        else:
            yield ok(f"{name} version {version}: digests and contract are right")


def _as_served(name: str, version: int, wrong: str, state: ModelState) -> Finding:
    if version in state.served:
        backends = ", then ".join(backend.name for backend in state.served[version].backends)
        labels = "".join(f", {label}" for label, labelled in state.labels.items() if labelled == version)
        return ok(f"{name} version {version}{labels}: digests, contract and golden rows are right ({backends})")
    if version in state.refused:
        newest = f"; version {max(state.served)} is served instead" if state.served else ""
        found = f"{name} version {version} would be refused: {state.refused[version].reason}{newest}"
        return failed(found, _mend(name, version))
    if wrong:
        return warning(f"{name} version {version}, which is not served: {wrong}", _mend(name, version))
    return ok(f"{name} version {version}: digests and contract are right; not served, another one is newer")


def _mend(name: str, version: int) -> str:
    return f"publish it again, or put back the files of {name}/{version} as SHA256SUMS lists them"


def _rights(root: Path, folders: list[Path]) -> Iterator[Finding]:
    """What this user may not read, and what everybody may change, in these folders and beside them."""
    unreadable: list[tuple[Path, os.stat_result | None]] = []
    open_to_all: list[Path] = []
    looked_at = {folder.name for folder in folders}
    for folder, names, files in os.walk(root):
        if Path(folder) == root:
            names[:] = [name for name in names if name in looked_at]
        for path in [Path(folder, name) for name in (*names, *files)]:
            try:
                state = path.stat()
            except OSError:
                unreadable.append((path, None))
                continue
            needed = os.R_OK | os.X_OK if stat.S_ISDIR(state.st_mode) else os.R_OK
            if not os.access(path, needed):
                unreadable.append((path, state))
            if state.st_mode & stat.S_IWOTH:
                open_to_all.append(path)
    if unreadable:
        path, seen = unreadable[0]
        whose = f", which belongs to user {seen.st_uid}, mode {stat.S_IMODE(seen.st_mode):04o}" if seen else ""
        found = f"user {os.geteuid()} may not read {path.relative_to(root)}{whose}{_more(unreadable)}"
        yield failed(found, f"chown or chmod what is below {SETTING}: a gateway only reads it")
    if open_to_all:
        found = f"everybody may change {open_to_all[0].relative_to(root)}{_more(open_to_all)}"
        yield warning(found, f"chmod -R o-w {root}: who changes a model and its digests decides over people")


def _more(found: Sequence[object]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""
