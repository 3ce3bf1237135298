"""What goes wrong is said in words short enough for gRPC's metadata, however many names there are."""

import pytest

from serving.errors import InvalidInput, one_of
from serving.protocols.details import status

pytestmark = pytest.mark.unit


def test_status_and_details_fit_into_what_grpc_clients_take_also_in_chinese() -> None:
    error = InvalidInput.cell("列" * 200, "未知的列" * 100, one_of("列" * 20 + str(number) for number in range(500)))
    percent_encoded = len(error.message.encode()) * 3
    base64_encoded = len(status(error).SerializeToString()) * 4 / 3
    assert percent_encoded + base64_encoded < 8192


def test_only_the_first_names_are_listed() -> None:
    assert one_of(["a", "b"]) == "one of a, b"
    assert one_of(map(str, range(25))).endswith("18, 19 and 5 more")
