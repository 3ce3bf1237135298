"""Every knob is checked at start; the command line wins over the environment."""

import pytest

from serving.errors import SettingsError
from serving.settings import Settings

pytestmark = pytest.mark.unit


def test_the_command_line_wins_over_the_environment_and_that_over_the_default() -> None:
    chosen = Settings.read({"grpc_port": "1"}, {"EPM_GRPC_PORT": "2", "EPM_HTTP_PORT": "3"})
    assert (chosen.grpc_port, chosen.http_port, chosen.max_rows) == (1, 3, Settings().max_rows)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"EPM_GRPC_PORT": "many"}, "EPM_GRPC_PORT: got 'many', expected int"),
        ({"EPM_GRPC_PORT": "65536"}, "EPM_GRPC_PORT: got 65536, expected at most 65535"),
        ({"EPM_MAX_ROWS": "0"}, "EPM_MAX_ROWS: got 0, expected at least 1"),
        ({"EPM_LOG_LEVEL": "loud"}, "EPM_LOG_LEVEL: got 'loud', expected one of debug, info, warning, error"),
        ({"EPM_GRCP_PORT": "8500"}, "EPM_GRCP_PORT: there is no such setting"),
        ({"EPM_DRAIN_SECONDS": "nan"}, "EPM_DRAIN_SECONDS: got nan"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Settings.read({}, environment)
