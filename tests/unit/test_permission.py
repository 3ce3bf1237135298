"""The token of restricted services: where it comes from, who is let in, and what nobody is told."""

import pytest

from serving.errors import PermissionDenied, SettingsError, Unauthenticated
from serving.listeners.permission import Permission, read_token

pytestmark = pytest.mark.unit

TOKEN = b"0123456789abcdef-XYZ"


def shown(*values):
    return [("user-agent", "x"), *(("authorization", value) for value in values)]


@pytest.fixture
def permission(tmp_path):
    path = tmp_path / "token"
    path.write_bytes(b"  " + TOKEN + b" \r\nsecond line\n")
    return Permission.load(str(path))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_who_shows_the_token_is_let_in(permission, scheme):
    permission.check(shown(f"{scheme} {TOKEN.decode()}"))


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        (TOKEN.decode(),),
        (f"Basic {TOKEN.decode()}",),
        (f"Bearer {TOKEN.decode()}x",),
        (f"Bearer {TOKEN.decode()[:-1]}",),
        (f"Bearer {TOKEN.decode().swapcase()}",),
        ("Bearer second line",),
        ("Bearer é漢",),
        (f"Bearer {TOKEN.decode()}", f"Bearer {TOKEN.decode()}"),
    ],
)
def test_nobody_else_is_and_the_token_is_not_told(permission, values):
    with pytest.raises(Unauthenticated) as raised:
        permission.check(shown(*values))
    assert "Bearer" in raised.value.message
    assert TOKEN.decode() not in raised.value.message
    assert "0123" not in raised.value.message


def test_without_a_file_nobody_is_and_the_setting_is_named():
    with pytest.raises(PermissionDenied, match="EPM_FACTS_TOKEN_FILE"):
        Permission.load("").check(shown(f"Bearer {TOKEN.decode()}"))


@pytest.mark.parametrize(
    "content", [b"", b"\n" + TOKEN, b"short", b"x" * 15, b" " * 40, b"words with spaces in", "密" * 20, b"\xff" * 20]
)
def test_a_file_that_holds_no_good_token_is_refused_without_telling_what_it_holds(tmp_path, content):
    path = tmp_path / "token"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SettingsError, match=r"^SOME_SETTING") as raised:
        read_token(str(path), "SOME_SETTING")
    assert "16 visible" in raised.value.message
    assert "short" not in raised.value.message
    assert "words" not in raised.value.message


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere.*No such file"):
        Permission.load(str(tmp_path / "nowhere"))


def test_sixteen_characters_are_enough(tmp_path):
    path = tmp_path / "token"
    path.write_bytes(b"x" * 16)
    assert read_token(str(path), "") == b"x" * 16
