"""Secrets and certificates: the files are there, hold what they should, and are readable by those who should."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from serving.doctor.finding import Findings, failed, ok, warning
from serving.doctor.installation import Installation
from serving.errors import SettingsError
from serving.hash_key import HashKey
from serving.listeners.permission import SETTING, read_token
from serving.repository.chosen import authorities_in


async def check(installation: Installation) -> Findings:
    """EPM_HASH_KEY_FILE, EPM_FACTS_TOKEN_FILE, EPM_BACKEND_CA_FILE; what is not set is not looked for."""
    settings = installation.settings
    secrets: list[tuple[str, str, Callable[[str], object]]] = [
        ("EPM_HASH_KEY_FILE", settings.hash_key_file, lambda path: HashKey.load(Path(path))),
        (SETTING, settings.facts_token_file, lambda path: read_token(path, SETTING)),
    ]
    given = [one for one in secrets if one[1]]
    for name, path, read in given:
        try:
            read(path)
            state = os.stat(path)
        except SettingsError as error:
            yield failed(error.message, f"put the file there, readable by user {os.geteuid()}, or correct {name}")
            continue
        mode = f"{stat.S_IMODE(state.st_mode):04o}"
        if state.st_mode & stat.S_IRWXO:
            yield failed(f"{name}: everybody may read or write {path} (mode {mode})", f"chmod 0440 {path}")
        elif state.st_uid not in (0, os.geteuid()):
            advice = f"give it to root or to user {os.geteuid()}"
            yield warning(f"{name}: {path} belongs to user {state.st_uid}, who can change it", advice)
        else:
            yield ok(f"{name}: {path} can be used, mode {mode}")
    if settings.backend_ca_file:
        try:
            authorities_in(settings.backend_ca_file)
            yield ok(f"EPM_BACKEND_CA_FILE: {settings.backend_ca_file} holds certificates")
        except SettingsError as error:
            yield failed(error.message, "put the certificates of the servers' authority there, in PEM")
    elif not given:
        yield ok("no files are set up: no Redis, and nobody may call epm.v1.FeatureService")
