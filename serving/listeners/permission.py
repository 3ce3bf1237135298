"""Who may call restricted services: who shows the one token, as `authorization: Bearer <token>`."""

import hmac
from collections.abc import Iterable
from pathlib import Path

from serving.errors import PermissionDenied, SettingsError, Unauthenticated

SETTING = "EPM_FACTS_TOKEN_FILE"
SHORTEST = 16
"""Characters of a token."""


def read_token(path: str, setting: str) -> bytes:
    """The first line of a file, stripped. Raises SettingsError, which says nothing of what the file holds."""
    try:
        with Path(path).open("rb") as file:
            token = file.readline(4096).strip()
    except OSError as error:
        raise SettingsError(f"{setting}: {path!r} cannot be read: {error.strerror}", field=setting) from None
    expected = f"at least {SHORTEST} visible ASCII characters in the first line"
    if len(token) < SHORTEST:
        raise SettingsError(f"{setting}: got {len(token)} characters in {path!r}, expected {expected}", field=setting)
    if not all(33 <= character <= 126 for character in token):  # no other can be sent in a header
        raise SettingsError(f"{setting}: got other characters in {path!r}, expected {expected}", field=setting)
    return token


class Permission:
    """Checks the metadata of calls. token: None when nobody may call."""

    def __init__(self, token: bytes | None) -> None:
        self._token = token

    @classmethod
    def load(cls, path: str) -> "Permission":
        """With the token of a file; an empty path: nobody may call. Raises SettingsError."""
        return cls(read_token(path, SETTING) if path else None)

    def check(self, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Compare in constant time. Raises PermissionDenied when nobody may call, Unauthenticated without the token."""
        if self._token is None:
            raise PermissionDenied(f"nobody may call this service: {SETTING} is not set at this gateway")
        shown = [value for key, value in metadata if key == "authorization"]
        if len(shown) != 1:
            came = "none" if not shown else f"{len(shown)}"
            raise Unauthenticated(f"authorization: got {came}, expected one: Bearer and the token of this gateway")
        value = shown[0].encode() if isinstance(shown[0], str) else shown[0]
        scheme, _, token = value.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
            raise Unauthenticated("authorization: got another value, expected Bearer and the token of this gateway")
