"""Every knob is checked at start; the command line wins over the environment."""

import pytest

from serving.cli import main
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
        ({"EPM_MAX_MESSAGE_BYTES": "3000000000"}, "EPM_MAX_MESSAGE_BYTES: got 3000000000, expected at most"),
        ({"EPM_REPOSITORY_POLL_SECONDS": "1e-9"}, "EPM_REPOSITORY_POLL_SECONDS: got 1e-09, expected 0, or 0.1"),
        ({"EPM_HOST": ""}, "EPM_HOST: got nothing"),
        ({"EPM_BACKEND_CA_FILE": "ca.pem"}, "EPM_BACKEND_CA_FILE: got a file, expected grpcs:// in an address"),
        ({"EPM_CACHE": "off;a=local;a=off"}, "EPM_CACHE: got 'a=off', expected each model once"),
        ({"EPM_CACHE": "off;=local"}, "EPM_CACHE: got '=local', expected each model once, by name"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Settings.read({}, environment)


def test_a_setting_per_model_says_which_models_it_names() -> None:
    settings = Settings(backends="onnxruntime;a=forest", cache="b=off;a=local")
    assert settings.named() == [("EPM_BACKENDS", "a"), ("EPM_CACHE", "b"), ("EPM_CACHE", "a")]
    assert (settings.chosen("backends", "a"), settings.chosen("backends", "b")) == (("forest",), ("onnxruntime",))


@pytest.mark.parametrize("said", ["", "b=off", " ; b=off"])
def test_a_setting_per_model_that_says_nothing_of_the_others_leaves_them_at_its_default(said: str) -> None:
    settings = Settings(cache=said, batching=said, shadow_backend="b=forest", backends="b=onnxruntime")
    assert settings.chosen("cache", "a") == settings.chosen("batching", "a") == ("auto",)
    assert settings.chosen("shadow_backend", "a") == ()
    assert settings.chosen("backends", "a") == ("forest", "onnxruntime")


def test_what_kubernetes_says_of_a_service_named_epm_is_not_meant_for_the_gateway() -> None:
    links = {"EPM_PORT": "tcp://10.0.0.1:8500", "EPM_SERVICE_HOST": "10.0.0.1", "EPM_SERVICE_PORT_GRPC": "8500"}
    links |= {"EPM_PORT_8500_TCP": "tcp://10.0.0.1:8500", "EPM_PORT_8500_TCP_ADDR": "10.0.0.1"}
    assert Settings.read({}, links) == Settings()


def test_a_password_in_a_url_is_not_shown() -> None:
    assert "canary" not in repr(Settings(redis_url="redis://:canary@host", hash_key_file="key"))


def test_help_names_every_default_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "(default none; EPM_REDIS_URL)" in said
    assert "(default 86400.0; EPM_MOST_STALE_SECONDS)" in said


def test_one_stream_alone_cannot_overload_the_defaults() -> None:
    assert Settings().stream_window * Settings().max_rows <= Settings().max_rows_in_flight
