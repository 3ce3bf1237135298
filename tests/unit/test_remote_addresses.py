"""What a target may say, and what its parts become."""

import pytest

from serving.backends.remote.addresses import Address, Target
from serving.backends.remote.servers import Servers
from serving.errors import SettingsError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "places", "secure"),
    [
        ("triton:8001", [("triton", 8001)], False),
        ("grpc://triton:8001", [("triton", 8001)], False),
        ("grpcs://a.example:1, b.example:2", [("a.example", 1), ("b.example", 2)], True),
        ("10.0.0.1:8001,[fd00::1]:65535", [("10.0.0.1", 8001), ("fd00::1", 65535)], False),
        ("a:1,a:1,a:2", [("a", 1), ("a", 2)], False),
    ],
)
def test_targets(text: str, places: list[tuple[str, int]], secure: bool) -> None:
    target = Target.parse(text, "EPM_TRITON")
    assert (list(target.places), target.secure) == (places, secure)


@pytest.mark.parametrize(
    "text",
    """
    |triton|triton:|:8001|a:0|a:65536|a:1,|fd00::1:80|[triton]:80|http://a:1|a:-1|user@a:1|a:１|a b:1|grpcs://
    """.strip().split("|"),
)
def test_a_target_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"EPM_TRITON: got .*host:port") as refused:
        Target.parse(text, "EPM_TRITON")
    assert refused.value.field == "EPM_TRITON"


def test_a_target_reads_as_it_was_written() -> None:
    for text in ("grpcs://a:1,b:2", "[fd00::1]:80", "10.0.0.1:8001"):
        assert str(Target.parse(text, "")) == text


def test_an_address_keeps_the_name_it_was_resolved_from() -> None:
    named, literal = Address("10.0.0.1", 80, "triton"), Address("fd00::1", 80)
    assert (named.target, named.authority) == ("ipv4:10.0.0.1:80", "triton:80")
    assert (literal.target, literal.authority) == ("ipv6:[fd00::1]:80", "")


def test_a_file_of_authorities_that_is_not_there_is_said(tmp_path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        Servers("grpcs://a:1", tmp_path / "ca.pem", setting="EPM_TRITON")
